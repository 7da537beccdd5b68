package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab/pair"
)

// contract is the form of `understudy status --json`: every key must be there.
// A value is string, number, bool or time, or one of several words; a key that
// ends in a question mark may be null; under the key * is what any key has. An
// array is there, empty or not, with elements of the one form that is given.
const contract = `{
 "node":"string","version":"string","uptime_seconds":"number",
 "routers":[{"name":"string","interface":"string","vrid":"number","family":"ipv4|ipv6","version":"number",
   "state":"initialize|backup|active|fault","reason":"string","priority":"number","effective_priority":"number",
   "advert_interval_seconds":"number","active_address":"string","addresses":["string"],"transitions":"number",
   "last_transition?":"time","adverts":{"sent":"number","received":"number"},
   "drops":{"truncated":"number","ttl":"number","destination":"number","version":"number","type":"number","addr_count":"number",
     "length":"number","checksum":"number","vrid":"number","auth":"number","interval":"number","link_local":"number",
     "address_list":"number","source":"number","own":"number","delay":"number","icv":"number","replay":"number"}}],
 "groups":[{"name":"string","state":"initialize|backup|active|fault","term":"number","members":["string"],
   "reason":"string","last_transition?":"time"}],
 "sessions?":{"mode":"string","local":"number","foreign":"number","in_sync":"bool","lag_seconds?":"number","dirty":"number",
   "peers":[{"name":"string","connected":"bool","lag_seconds?":"number","last_resync?":"time"}],
   "last_takeover?":{"at":"time","group":"string","term":"number","from":"string","sessions":"number","hot":"number","installed":"number",
     "refused":"number","clashes":"number","duration_seconds":"number","lost_estimate?":"number","heard_seconds":"number","late":"number","lost_count":"number",
     "lost":[{"flow":{"protocol":"string","source":"string","destination":"string"},"why":"string"}],
     "phases":{"events_seconds":"number","link_seconds":"number","kernel_seconds":"number"}},
   "unprotected":{"total":"number","peer":"string","young":"number","dirty":"number","in_flight":"number","refused":"number","unsynced":"number",
     "offloaded":"number","excluded":"number","not_replicable":"number","classes":[{"class":"string","young":"number","excluded":"number"}]}},
 "nat":{"static":"number","source":"number","entries":[{"name":"string","address":"string",
   "servers":[{"address":"string","state":"string","weight":"number"}]}]},
 "checks":[{"name":"string","kind":"string","state":"unknown|up|down","since":"time","last_error":"string","took_seconds":"number",
   "results":"number","failures":"number","timeouts":"number","changes":"number","flapping":"bool","damped_until?":"time","checks":["string"],"drops":{}}],
 "heartbeats":[{"listen":"string","drops":{"format":"number","unknown":"number"}}],
 "bonds":[{"name":"string","state":"ok|degraded|failed|unknown","mode":"lacp|active-backup|balance|unknown","carrying":"number","needed":"number","findings":[{"name":"string","severity":"string","since":"time","detail":"string"}],
   "members":[{"interface":"string","partner_system":"string","synchronized":"bool","up":"bool","carries":"bool","receive":"string"}]}],
 "election":{"version":"string","realtime":"bool"},
 "guard":{"mode":"alarm|hold|off","limit_seconds":"number","check":"string","interval_seconds":"number","drops":{"own":"number","code":"number"},
   "peers":[{"name":"string","address":"string","last_heartbeat?":"time","interval_seconds":"number","neighbour":"up|down|unknown",
     "sent":"number","received":"number","unproven":"number","drops":{"replay":"number"},
     "groups":[{"name":"string","state":"initialize|backup|active|fault","term":"number",
       "routers":[{"name":"string","interface":"string","priority":"number","source":"string","hears_us":"bool","heard":"bool"}]}]}]},
 "alarms":[{"name":"split-brain|peer-incompatible|not-in-sync|lag|conntrack-full|events-lost|config-mismatch|election-late|apply-failed|no-peer|check-down|check-flapping|adverts-unheard|no-heartbeat",
   "since":"time","detail":"string"}]}`

// conforms lists where v is not of the given form.
func conforms(path string, form, v any) (wrong []string) {
	bad := func(want string) []string { return []string{fmt.Sprintf("%s: %#v is not %s", path, v, want)} }
	switch form := form.(type) {
	case map[string]any:
		object, ok := v.(map[string]any)
		if !ok {
			return bad("an object")
		}
		for _, key := range slices.Sorted(maps.Keys(form)) {
			name, nullable := strings.CutSuffix(key, "?")
			got, there := object[name]
			switch {
			case !there:
				wrong = append(wrong, path+"."+name+" is missing")
			case got == nil && nullable:
			default:
				wrong = append(wrong, conforms(path+"."+name, form[key], got)...)
			}
		}
	case []any:
		array, ok := v.([]any)
		if !ok {
			return bad("an array")
		}
		for i, e := range array {
			wrong = append(wrong, conforms(fmt.Sprintf("%s[%d]", path, i), form[0], e)...)
		}
	case string:
		text, isText := v.(string)
		switch form {
		case "string":
			if !isText {
				return bad(form)
			}
		case "number":
			if _, ok := v.(float64); !ok {
				return bad(form)
			}
		case "bool":
			if _, ok := v.(bool); !ok {
				return bad(form)
			}
		case "time":
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				return bad("a time of RFC 3339")
			}
		default:
			if !isText || !slices.Contains(strings.Split(form, "|"), text) {
				return bad("one of " + form)
			}
		}
	}
	return wrong
}

// The check finds what is wrong, or it would prove nothing.
func TestContractIsChecked(t *testing.T) {
	for _, row := range []struct {
		form, text string
		want       int
	}{
		{`{"a":"number","b?":"time"}`, `{"a":1,"b":null,"more":2}`, 0},
		{`{"a":"number","b?":"time"}`, `{"a":"1","b":"yesterday"}`, 2},
		{`{"a":["string"]}`, `{"a":null}`, 1},
		{`{"a":["string"]}`, `{}`, 1},
		{`{"a":[{"b":"x|y"}]}`, `{"a":[{"b":"x"},{"b":"z"},{}]}`, 2},
	} {
		if wrong := conforms("", decode(t, row.form), decode(t, row.text)); len(wrong) != row.want {
			t.Errorf("%s is %s but for %q, want %d", row.text, row.form, wrong, row.want)
		}
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// Both gateways, in all the states that a test can bring about, say of
// themselves what the contract promises.
func TestStatusKeepsItsContract(t *testing.T) {
	s := newScene(t, pair.Options{})
	form := decode(t, contract)
	check := func(g *pair.Gateway, what string) map[string]any {
		t.Helper()
		text := s.ok(g, "status", "--json")
		v := decode(t, text)
		for _, w := range conforms("", form, v) {
			t.Errorf("%s, %s: %s", g.Name, what, w)
		}
		if t.Failed() {
			t.FailNow()
		}
		return v.(map[string]any)
	}
	if a := s.cli(s.gw1, "status", "--json"); a.code != 1 || !strings.Contains(a.out, socketPath) {
		t.Errorf("status of nobody: exit code %d, want 1 and the path of the socket\n%s", a.code, a.out)
	}
	s.must(s.gw1.Start())
	s.wait("gw1 active", s.gw1.Is("active"))
	v := check(s.gw1, "alone")
	if v["sessions"].(map[string]any)["lag_seconds"] != nil {
		t.Error("gw1 has a lag without a peer")
	}
	s.must(s.gw2.Start())
	s.settled(s.gw1)
	s.load(s.gw1, 10)
	for _, g := range s.Gateways {
		v := check(g, "in sync")
		sessions := v["sessions"].(map[string]any)
		local, foreign := sessions["local"].(float64), sessions["foreign"].(float64)
		if g == s.gw2 {
			local, foreign = foreign, local
		}
		if local < 15 || foreign != 0 {
			t.Errorf("%s: sessions %v", g.Name, sessions)
		}
		alarms := slices.DeleteFunc(v["alarms"].([]any), func(a any) bool { return a.(map[string]any)["name"] == appliance.AlarmElectionLate })
		if sessions["lag_seconds"] == nil || len(alarms) > 0 || len(v["routers"].([]any)) != 2 {
			t.Errorf("%s in sync: lag %v, alarms %v, routers %v", g.Name, sessions["lag_seconds"], v["alarms"], v["routers"])
		}
		if v["node"] != g.Name {
			t.Errorf("node is %v, want %s", v["node"], g.Name)
		}
	}
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	for _, g := range s.Gateways {
		check(g, "handed over")
	}
	s.crash(s.gw2)
	s.wait("an alarm", alarmed(s.gw1, "no-peer"))
	if v := check(s.gw1, "after a crash"); v["sessions"].(map[string]any)["last_takeover"] == nil {
		t.Error("gw1 has taken over and does not know when")
	}
	s.must(s.gw1.Link("wan0").Unplug())
	s.wait("a fault", s.gw1.Is("fault"))
	check(s.gw1, "in fault")
	if out := s.ok(s.gw1, "status"); !strings.Contains(out, "gw1") || !strings.Contains(out, "fault") || !strings.Contains(out, "no-peer") {
		t.Errorf("status for people does not tell the state, or the alarm:\n%s", out)
	}
}

func TestStatusWithoutSessions(t *testing.T) {
	s := newScene(t, pair.Options{NoSessions: true, NoNAT: true})
	s.settle()
	v := decode(t, s.ok(s.gw1, "status", "--json"))
	for _, w := range conforms("", decode(t, contract), v) {
		t.Error(w)
	}
	if got, there := v.(map[string]any)["sessions"]; got != nil || !there {
		t.Errorf("sessions is %v, want null", got)
	}
}
