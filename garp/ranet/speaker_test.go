package ranet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/garp"
)

// air is interfaces in memory, and what was sent by them. It belongs to a bubble
// of synctest: nobody moves while the test looks.
type air struct {
	t     *testing.T
	began time.Time
	sent  []string
	wires map[string]*memory
	deny  error // opening fails
	inert map[string]bool
	*Speaker
}

type memory struct {
	air  *air
	name string
	own  garp.MAC
	gone bool
	err  error
}

func (m *memory) mac() garp.MAC { return m.own }
func (m *memory) current() bool { return !m.gone }
func (m *memory) close()        { delete(m.air.wires, m.name) }
func (m *memory) send(frame []byte) error {
	if m.err != nil {
		return m.err
	}
	said := parsed(m.air.t, frame)
	what := fmt.Sprintf("%v %s %v %v", time.Since(m.air.began), m.name, netip.AddrFrom16([16]byte(frame[14+8:])), garp.MAC(frame[6:12]))
	if said.RouterLifetime == 0 {
		what += " final"
	}
	m.air.sent = append(m.air.sent, what)
	return nil
}

// die shows 0: the shortest of every time.
type die struct{}

func (die) Int64N(int64) int64 { return 0 }

func lan() Router {
	return Router{Name: "lan", Group: "gw", Interface: "lan0", Source: linkLocal, MAC: virtual, Params: *whole()}
}

// speak runs fn with a Speaker.
func speak(t *testing.T, fn func(a *air)) {
	synctest.Test(t, func(t *testing.T) {
		a := &air{t: t, began: time.Now(), wires: map[string]*memory{}, inert: map[string]bool{}}
		a.Speaker = New(Config{Dice: die{}, Active: func(group string) bool { return !a.inert[group] }})
		a.open = func(name string, _ chan<- string) (wire, error) {
			if a.deny != nil {
				return nil, a.deny
			}
			a.wires[name] = &memory{air: a, name: name, own: garp.MAC{2, 0, 0, 0, 0, byte(len(a.wires) + 1)}}
			return a.wires[name], nil
		}
		go a.Run(t.Context())
		a.Configure([]Router{lan()}, everybody)
		synctest.Wait()
		fn(a)
	})
}

func everybody(string) bool { return true }
func nobody(string) bool    { return false }

// change does something on the Speaker's own goroutine, which is the one to see it.
func (a *air) change(do func()) {
	a.order(func(time.Time) { do() })
	synctest.Wait()
}

// after lets time pass.
func (a *air) after(d time.Duration) { time.Sleep(d); synctest.Wait() }

// want compares what was sent since the last time, without the addresses.
func (a *air) want(want ...string) {
	a.t.Helper()
	synctest.Wait()
	got := []string{}
	for _, s := range a.sent {
		w := strings.Fields(s)
		got = append(got, strings.Join(append(w[:2], w[4:]...), " "))
	}
	if !slices.Equal(got, want) {
		a.t.Errorf("sent %q, want %q", got, want)
	}
	a.forget()
}

func (a *air) forget() { a.change(func() { a.sent = nil }) }

func (a *air) asks(iface string) { a.askedC <- iface; synctest.Wait() }

// RFC 9568, 6.4.2, 6.4.3 and 8.2.2: nothing from a Backup, whatever is asked; an
// Active speaks at once, from the virtual router's address and MAC.
func TestOnlyAnActiveSpeaks(t *testing.T) {
	speak(t, func(a *air) {
		a.asks("lan0")
		a.after(time.Hour)
		a.want()
		if len(a.wires) != 0 {
			t.Error("a Backup listens")
		}
		a.Start("gw")
		synctest.Wait()
		if want := "1h0m0s lan0 fe80::1 00:00:5e:00:02:33"; len(a.sent) != 1 || a.sent[0] != want {
			t.Errorf("sent %q, want %q", a.sent, want)
		}
		a.want("1h0m0s lan0")
		a.Start("gw") // its addresses were announced again
		a.after(20 * time.Second)
		a.want("1h0m16s lan0")
		a.asks("lan0")
		a.asks("wan0")
		a.want("1h0m20s lan0")
		a.asks("lan0")
		a.Stop("gw")
		a.asks("lan0")
		a.after(time.Hour)
		a.want()
		if len(a.wires) != 0 {
			t.Error("a former Active listens")
		}
		if st := a.Stats()["lan"]; st.Sent != 3 || st.Solicited != 2 || st.Failed != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Who has been asleep finds out that it is no longer Active before it speaks.
func TestTheElectionIsAskedFirst(t *testing.T) {
	speak(t, func(a *air) {
		a.Start("gw")
		a.want("0s lan0")
		a.change(func() { a.inert["gw"] = true })
		a.asks("lan0")
		a.after(time.Hour)
		a.want()
	})
}

func TestInterfaceMAC(t *testing.T) {
	speak(t, func(a *air) {
		r := lan()
		r.MAC = garp.MAC{}
		a.Configure([]Router{r}, everybody)
		a.Start("gw")
		synctest.Wait()
		if want := "0s lan0 fe80::1 02:00:00:00:00:01"; len(a.sent) != 1 || a.sent[0] != want {
			t.Errorf("sent %q, want %q", a.sent, want)
		}
	})
}

// A reload: what changes is said, what stays is not, what is added begins, and what
// no longer advertises says so; one that is no longer there at all is silent.
func TestConfigure(t *testing.T) {
	speak(t, func(a *air) {
		a.Start("gw")
		a.after(time.Minute)
		a.want("0s lan0", "16s lan0", "32s lan0")
		a.Configure([]Router{lan()}, everybody)
		a.want()
		r := lan()
		r.Params.MTU = 1500
		wan := Router{Name: "wan", Group: "gw", Interface: "wan0", Source: linkLocal, Params: *whole()}
		dmz := Router{Name: "dmz", Group: "other", Interface: "dmz0", Source: linkLocal, Params: *whole()}
		a.Configure([]Router{wan, r, dmz}, everybody)
		a.want("1m0s wan0", "1m0s lan0")
		a.after(time.Minute)
		a.want("1m16s wan0", "1m16s lan0", "1m32s wan0", "1m32s lan0")
		a.Configure([]Router{wan}, func(name string) bool { return name == "lan" })
		a.after(time.Minute)
		a.want("2m0s lan0 final", "2m3s lan0 final", "2m6s lan0 final")
		if len(a.wires) != 1 {
			t.Errorf("%d wires are open", len(a.wires))
		}
		a.Configure(nil, nobody)
		a.after(time.Hour)
		a.want()
	})
}

// Who ceases and then loses the role says no more: the successor speaks.
func TestCeaseThenStop(t *testing.T) {
	speak(t, func(a *air) {
		a.Start("gw")
		a.after(time.Minute)
		a.forget()
		a.Configure(nil, everybody)
		a.want("1m0s lan0 final")
		a.Start("gw") // its addresses were announced again
		a.after(4 * time.Second)
		a.want("1m3s lan0 final")
		a.Stop("gw")
		a.Start("gw")
		a.after(time.Hour)
		a.want()
		// It comes back, in the middle of the end too.
		a.Configure([]Router{lan()}, everybody)
		a.want("1h1m4s lan0")
		a.after(10 * time.Second)
		a.Configure(nil, everybody)
		a.after(time.Second)
		a.Configure([]Router{lan()}, everybody)
		a.after(5 * time.Second)
		a.want("1h1m14s lan0 final", "1h1m17s lan0")
	})
}

// An interface that fails, is replaced, or is not there yet.
func TestTheWireFails(t *testing.T) {
	speak(t, func(a *air) {
		a.change(func() { a.deny = errors.New("no such interface") })
		a.Start("gw")
		a.want()
		if st := a.Stats()["lan"]; st.Failed != 1 || st.LastError != "no such interface" {
			t.Errorf("%+v", st)
		}
		a.change(func() { a.deny = nil })
		a.after(16 * time.Second)
		a.want("16s lan0")
		a.change(func() { a.wires["lan0"].err = errors.New("network is down") })
		a.after(16 * time.Second)
		a.want()
		a.after(10 * time.Minute)
		if len(a.sent) != 3 {
			t.Errorf("sent %q after an error", a.sent)
		}
		a.forget()
		first := a.wires["lan0"]
		a.change(func() { first.gone = true })
		a.after(10 * time.Minute)
		if len(a.sent) == 0 || a.wires["lan0"] == first {
			t.Error("another interface of the same name is not used")
		}
		if st := a.Stats()["lan"]; st.LastError != "" {
			t.Errorf("%+v", st)
		}
	})
}
