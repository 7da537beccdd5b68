package config

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp/witness"
)

const guardSessions = `
[[check]]
name = "host"
kind = "icmp"
target = "10.0.0.10"

[sessions]
listen = "10.255.0.1:7788"
peers = [{ name = "gw2", address = "10.255.0.2:7788" }]
secret_file = "secret"
`

const guardRouter = `
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
`

func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name, top, rest string
		want            Guard
		hold            time.Duration
		listen, peer    string
	}{
		{"default", "", guardSessions, Guard{Mode: GuardAlarm, Limit: 10 * time.Second}, 0, "10.255.0.1:7788", "10.255.0.2:7788"},
		{"alone", "", "", Guard{Mode: GuardAlarm, Limit: 10 * time.Second}, 0, "", ""},
		{"hold", "guard = \"hold\"\nguard_limit = \"3s\"\nguard_check = \"host\"\n", guardSessions,
			Guard{Mode: GuardHold, Limit: 3 * time.Second, Check: "host"}, 3 * time.Second, "10.255.0.1:7788", "10.255.0.2:7788"},
		{"off, another port", "guard = \"off\"\nguard_port = 7789\n", guardSessions,
			Guard{Mode: GuardOff, Limit: 10 * time.Second, Port: 7789}, 0, "10.255.0.1:7789", "10.255.0.2:7789"},
	} {
		c := parse(t, "f", "node = \"gw1\"\n"+tt.top+guardRouter+tt.rest)
		if c.Guard != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, c.Guard, tt.want)
		}
		if got := c.Election().HoldLimit; got != tt.hold {
			t.Errorf("%s: the election may hold for %v, want %v", tt.name, got, tt.hold)
		}
		w, err := c.Witness()
		if err != nil {
			t.Fatal(err)
		}
		if w.Node != "gw1" || w.Mode != witness.Mode(tt.want.Mode) {
			t.Errorf("%s: %+v", tt.name, w)
		}
		if tt.listen == "" {
			if w.Listen.IsValid() || len(w.Peers) > 0 || w.Key != (witness.Key{}) {
				t.Errorf("%s: heartbeats without sessions: %+v", tt.name, w)
			}
			continue
		}
		key, _ := witness.NewKey(c.Sessions.Secret[0][:], "gw1")
		theirs, _ := witness.NewKey(c.Sessions.Secret[0][:], "gw2")
		if w.Listen != netip.MustParseAddrPort(tt.listen) || w.Key != key || len(w.Peers) != 1 {
			t.Errorf("%s: %+v", tt.name, w)
			continue
		}
		if p := w.Peers[0]; p.Name != "gw2" || p.Address != netip.MustParseAddrPort(tt.peer) || len(p.Keys) != 1 || p.Keys[0] != theirs {
			t.Errorf("%s: peer %+v", tt.name, p)
		}
	}
}

// Both lines of a secret that is being changed are accepted, and the first is used.
func TestGuardKeysOfTwoSecrets(t *testing.T) {
	c := parse(t, "f", "node = \"gw1\"\n"+guardRouter+guardSessions)
	second := c.Sessions.Secret[0]
	second[0]++
	c.Sessions.Secret = append(c.Sessions.Secret, second)
	w, err := c.Witness()
	if err != nil {
		t.Fatal(err)
	}
	first, _ := witness.NewKey(c.Sessions.Secret[0][:], "gw1")
	if w.Key != first || len(w.Peers[0].Keys) != 2 || w.Peers[0].Keys[0] == w.Peers[0].Keys[1] {
		t.Errorf("%+v", w)
	}
}
