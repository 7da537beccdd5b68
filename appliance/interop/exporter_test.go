package interop

import (
	"encoding/json"
	"strconv"
	"strings"
)

// exported is what exporters for Prometheus make of keepalived's dumps. They read them
// line by line: what is below is their reading, written down anew (that of
// mehdy/keepalived-exporter, which is the strictest).
type exported struct {
	Name, Interface  string
	State, Wants     int
	VRID             int
	Delay            int // of gratuitous ARP
	VIPs             []string
	Script           map[string][2]string // status and state, by name
	Transition       float64
	Stats            map[string]int
	Received, Became int
}

var exportedStates = []string{"INIT", "BACKUP", "MASTER", "FAULT"}

// exportJSON reads keepalived.json.
func exportJSON(text string) (out map[string]exported, err error) {
	var list []struct {
		Data struct {
			Iname          string
			State          int
			Wantstate      int
			Ifp_ifname     string
			Garp_delay     int
			Vrid           int
			Vips           []string
			LastTransition float64 `json:"last_transition"`
		}
		Stats map[string]int
	}
	out = map[string]exported{}
	err = json.Unmarshal([]byte(text), &list)
	for _, v := range list {
		d := v.Data
		out[d.Iname] = exported{Name: d.Iname, Interface: d.Ifp_ifname, State: d.State, Wants: d.Wantstate, VRID: d.Vrid, Delay: d.Garp_delay,
			VIPs: d.Vips, Transition: d.LastTransition, Stats: v.Stats}
	}
	return out, err
}

// exportData reads keepalived.data: a line of one blank and "VRRP Instance" begins an
// instance, lines of three blanks are its keys, of five elements of the key before, and
// any other line ends it.
func exportData(text string) (out map[string]exported, err error) {
	out = map[string]exported{}
	name, key := "", ""
	number := func(s string) (n int) {
		n, bad := strconv.Atoi(s)
		if bad != nil {
			err = bad
		}
		return n
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, " VRRP Instance") && strings.Contains(line, "="):
			_, v, _ := strings.Cut(line, "=")
			name = strings.TrimSpace(v)
			out[name] = exported{Name: name, State: -1, Wants: -1}
		case strings.HasPrefix(line, "   ") && name != "":
			e := out[name]
			if strings.HasPrefix(line, "     ") {
				if strings.HasPrefix(key, "Virtual IP (") {
					e.VIPs = append(e.VIPs, strings.TrimSpace(line))
				}
				out[name] = e
				continue
			}
			k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok {
				if k, v, ok = strings.Cut(strings.TrimSpace(line), ":"); !ok {
					continue
				}
			}
			key, v = strings.TrimSpace(k), strings.TrimSpace(v)
			switch key {
			case "State":
				e.State = stateNumber(v)
			case "Wantstate":
				e.Wants = stateNumber(v)
			case "Interface":
				e.Interface = v
			case "Gratuitous ARP delay":
				e.Delay = number(v)
			case "Virtual Router ID":
				e.VRID = number(v)
			}
			out[name] = e
		case strings.HasPrefix(line, " VRRP Version"), strings.HasPrefix(line, " VRRP Script"):
		default:
			name = ""
		}
	}
	return out, err
}

func stateNumber(s string) int {
	for i, word := range exportedStates {
		if s == word {
			return i
		}
	}
	return -1
}

// exportScripts reads the scripts of keepalived.data.
func exportScripts(text string) map[string][2]string {
	out := map[string][2]string{}
	name := ""
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		switch {
		case strings.HasPrefix(line, " VRRP Script") && ok:
			name = v
			out[name] = [2]string{}
		case strings.HasPrefix(line, "   ") && name != "":
			s := out[name]
			switch k {
			case "Status":
				s[0] = v
			case "State":
				s[1] = v
			}
			out[name] = s
		default:
			name = ""
		}
	}
	return out
}

// statsKeys are the counters of keepalived.stats by section and key, and what they are
// in keepalived.json.
var statsKeys = map[string]string{
	"Advertisements/Received": "advert_rcvd", "Advertisements/Sent": "advert_sent", "/Became master": "become_master", "/Released master": "release_master",
	"Packet Errors/Length": "packet_len_err", "Packet Errors/TTL": "ip_ttl_err", "Packet Errors/Invalid Type": "invalid_type_rcvd",
	"Packet Errors/Advertisement Interval": "advert_interval_err", "Packet Errors/Address List": "addr_list_err",
	"Authentication Errors/Invalid Type": "invalid_authtype", "Authentication Errors/Type Mismatch": "authtype_mismatch",
	"Authentication Errors/Failure": "auth_failure", "Priority Zero/Received": "pri_zero_rcvd", "Priority Zero/Sent": "pri_zero_sent",
}

// exportStats reads keepalived.stats: two blanks and a colon at the end are a section,
// four blanks a key of it, two blanks without it a key of none.
func exportStats(text string) (out map[string]map[string]int, err error) {
	out = map[string]map[string]int{}
	name, section := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		v = strings.TrimSpace(v)
		switch {
		case strings.HasPrefix(line, "VRRP Instance"):
			name = v
			out[name] = map[string]int{}
		case strings.HasPrefix(line, "  ") && strings.HasSuffix(line, ":"):
			section = k
		case strings.HasPrefix(line, "  "):
			if !strings.HasPrefix(line, "    ") {
				section = ""
			}
			n, bad := strconv.Atoi(v)
			if bad != nil {
				err = bad
			}
			if key := statsKeys[section+"/"+k]; key != "" {
				out[name][key] = n
			}
		}
	}
	return out, err
}
