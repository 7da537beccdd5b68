package dropin

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteJSON writes keepalived.json: one line, a list of {"data": …, "stats": …}.
func WriteJSON(w io.Writer, v View) error {
	var b bytes.Buffer
	v.list(&b)
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// WriteJSON2 writes it as json_version 2 has it: {"vrrp": […], "track_process": […]}, the
// latter if there are any. How many of a process run just now is not in it: here nobody
// counts further than is asked for.
func WriteJSON2(w io.Writer, v View) error {
	var b bytes.Buffer
	b.WriteString(`{"vrrp":`)
	v.list(&b)
	for n, p := range v.Processes {
		if n == 0 {
			b.WriteString(`,"track_process":[`)
		} else {
			b.WriteByte(',')
		}
		p.fields().write(&b)
	}
	if len(v.Processes) > 0 {
		b.WriteByte(']')
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

func (v View) list(b *bytes.Buffer) {
	b.WriteByte('[')
	for n := range v.Instances {
		i := &v.Instances[n]
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"data":`)
		i.data().write(b)
		b.WriteString(`,"stats":`)
		i.Stats.fields().write(b)
		b.WriteByte('}')
	}
	b.WriteByte(']')
}

func (p TrackProcess) fields() (f fields) {
	f.add("process", p.Process)
	match := "none"
	if len(p.Args) > 0 {
		f.add("parameters", strings.Join(p.Args, " "))
		match = "initial"
	}
	f.add("param_match", match)
	f.add("min_processes", p.Min)
	if p.Max > 0 {
		f.add("max_processes", p.Max)
	}
	f.add("have_quorum", p.Quorum)
	weight := p.Weight
	if p.Reverse {
		weight = -weight
	}
	f.add("weight", weight)
	f.add("terminate_delay", p.Ends.Seconds())
	f.add("fork_delay", p.Fork.Seconds())
	f.add("full_command", p.Full)
	return f
}

// fields are those of an object, in order.
type fields []field

type field struct {
	key   string
	value any
}

func (f *fields) add(key string, value any) { *f = append(*f, field{key, value}) }

// write does so as keepalived does: a slash is escaped, numbers are in their shortest form.
func (f fields) write(b *bytes.Buffer) {
	b.WriteByte('{')
	for i, one := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		writeJSON(b, one.key)
		b.WriteByte(':')
		writeJSON(b, one.value)
	}
	b.WriteByte('}')
}

func writeJSON(b *bytes.Buffer, v any) {
	if f, ok := v.(float64); ok {
		b.WriteString(strconv.FormatFloat(f, 'f', -1, 64))
		return
	}
	// What is written here can be written: strings, numbers, truth values, lists of strings.
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if e.Encode(v) == nil {
		b.WriteString(strings.ReplaceAll(strings.TrimSuffix(text.String(), "\n"), "/", `\/`))
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (i *Instance) data() (f fields) {
	g := i.GARP
	on := i.On
	if i.Device != "" {
		on = i.Device
	}
	f.add("iname", i.Name)
	f.add("dont_track_primary", 0)
	f.add("skip_check_adv_addr", 0)
	f.add("strict_mode", number(i.Strict))
	f.add("vmac_ifname", i.Device)
	f.add("ifp_ifname", on)
	f.add("master_priority", i.MasterPriority)
	f.add("last_transition", moment(i.Changed))
	f.add("garp_delay", int(g.Delay.Seconds()))
	f.add("garp_refresh", int(g.Refresh.Seconds()))
	f.add("garp_rep", g.Repeat)
	f.add("garp_refresh_rep", g.RefreshRepeat)
	f.add("garp_lower_prio_delay", int(g.LowerDelay.Seconds()))
	f.add("garp_lower_prio_rep", g.LowerRepeat)
	f.add("lower_prio_no_advert", 0)
	f.add("higher_prio_send_advert", 0)
	f.add("vrid", i.VRID)
	f.add("base_priority", i.Priority)
	f.add("effective_priority", i.Effective)
	f.add("vipset", i.State == Master)
	f.add("promote_secondaries", false)
	f.add("adver_int", i.Interval.Seconds())
	f.add("master_adver_int", i.MasterInterval.Seconds())
	f.add("accept", number(i.Accept))
	f.add("nopreempt", !i.Preempt)
	f.add("preempt_delay", i.PreemptDelay.Seconds())
	f.add("state", uint8(i.State))
	f.add("wantstate", uint8(i.Wants))
	f.add("version", i.Version)
	f.add("smtp_alert", i.SMTP)
	f.add("notify_deleted", i.Deleted)
	for _, s := range states {
		if argv := i.Notify[s.key]; len(argv) > 0 {
			f.add(s.json, quoted(argv))
		}
	}
	f.lines("vips", texts(i.Addresses))
	f.lines("evips", texts(i.Excluded))
	f.lines("vroutes", i.Routes)
	f.lines("vrules", i.Rules)
	f.lines("track_ifp", i.tracked("interface"))
	f.lines("track_script", i.tracked("script"))
	f.lines("track_process", i.tracked("process"))
	f.add("auth_type", map[string]int{"PASS": 1, "AH": 2}[i.Auth])
	if i.Auth != "" {
		f.add("auth_data", "********")
	}
	return f
}

// lines adds a list, if there is anything in it.
func (f *fields) lines(key string, list []string) {
	if len(list) > 0 {
		f.add(key, list)
	}
}

func (i *Instance) tracked(kind string) (out []string) {
	for _, t := range i.Track {
		switch {
		case t.Kind != kind:
		case kind == "script":
			out = append(out, quoted(t.Command))
		default:
			out = append(out, t.Name)
		}
	}
	return out
}

func texts(list []Address) (out []string) {
	for _, a := range list {
		out = append(out, a.text())
	}
	return out
}

// moment is in seconds since 1970, to a microsecond.
func moment(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

func (s Stats) fields() (f fields) {
	for _, c := range []struct {
		key string
		n   uint64
	}{
		{"advert_rcvd", s.Received}, {"advert_sent", s.Sent}, {"become_master", s.Became}, {"release_master", s.Released},
		{"packet_len_err", s.Length}, {"advert_interval_err", s.Interval}, {"ip_ttl_err", s.TTL}, {"invalid_type_rcvd", s.Type},
		{"addr_list_err", s.Addresses}, {"invalid_authtype", s.AuthType}, {"authtype_mismatch", s.AuthMismatch}, {"auth_failure", s.AuthFailure},
		{"pri_zero_rcvd", s.ZeroReceived}, {"pri_zero_sent", s.ZeroSent},
	} {
		f.add(c.key, c.n)
	}
	return f
}
