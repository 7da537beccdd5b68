package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// DeathOptions sets [RunDeath] up. The zero value has a server die ten times under 2,000
// connections, with checks each 100 ms.
type DeathOptions struct {
	Binary  string        // the program; "": the running executable
	Deaths  int           // 0: 10
	Clients int           // with a connection each, half of them silent; 0: 2,000
	Every   time.Duration // between checks, and what one may take; 0: 100 ms
	Fall    int           // 0: 3

	Progress io.Writer // a line for each death; nil: nobody
	Log      io.Writer // what the gateways write; nil: only with an error
}

func (o DeathOptions) withDefaults() DeathOptions {
	if o.Deaths <= 0 {
		o.Deaths = 10
	}
	if o.Clients <= 0 {
		o.Clients = 2000
	}
	if o.Every <= 0 {
		o.Every = 100 * time.Millisecond
	}
	if o.Fall <= 0 {
		o.Fall = 3
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// DeathReport is what [RunDeath] found. Its JSON form is a contract: keys may be added,
// never removed.
type DeathReport struct {
	Machine Machine `json:"machine"`
	Clients int     `json:"clients"`
	EveryMS float64 `json:"every_ms"`
	Fall    int     `json:"fall"`
	// BoundMS is fall x every + timeout + 1 s.
	BoundMS float64    `json:"bound_ms"`
	Deaths  []Death    `json:"deaths"`
	Rows    []DeathRow `json:"rows"`
}

// Death is one death of a server: how long after it clients were served by another one.
type Death struct {
	FirstMS float64 `json:"first_ms"`
	LastMS  float64 `json:"last_ms"`
	Served  int     `json:"served"`
	Hanging int     `json:"hanging"` // not served by another one after all that time
	Refused int     `json:"refused"` // attempts to connect again that failed
}

// DeathRow is the distribution over the clients of all deaths, ms after the death.
type DeathRow struct {
	Clients string  `json:"clients"` // speaking | silent | all
	N       int     `json:"n"`
	Min     float64 `json:"min"`
	Median  float64 `json:"median"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	Within  bool    `json:"within"` // the bound, all of them
}

// deathPatience is how long a client may take before it counts as hanging.
const deathPatience = 20 * time.Second

// RunDeath has servers of an entry point die under their connections, one after the
// other: their cables are pulled.
func RunDeath(ctx context.Context, o DeathOptions) (*DeathReport, error) {
	o = o.withDefaults()
	out := &DeathReport{Machine: thisMachine(time.Now()), Clients: o.Clients, EveryMS: ms(o.Every), Fall: o.Fall,
		BoundMS: ms(time.Duration(o.Fall)*o.Every + o.Every + time.Second)}
	b, err := newDeathBed(ctx, o)
	if err != nil {
		return nil, err
	}
	took := map[string][]float64{}
	for n := range o.Deaths {
		d, err := b.die(ctx, took)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("bench: death %d: %w%s", n+1, err, b.pair.Logs()), b.close())
		}
		out.Deaths = append(out.Deaths, d)
		fmt.Fprintf(o.Progress, "death %d of %d: %d clients served by the other server %s to %s ms after it, %d not\n", n+1, o.Deaths, d.Served,
			number(d.FirstMS), number(d.LastMS), d.Hanging)
	}
	for _, kind := range []string{"speaking", "silent", "all"} {
		out.Rows = append(out.Rows, deathRow(kind, took[kind], out.BoundMS))
	}
	out.Machine.LoadAfter = load()
	return out, b.close()
}

func deathRow(kind string, took []float64, bound float64) DeathRow {
	s := summarize(took)
	row := DeathRow{Clients: kind, N: s.N, Min: s.Min, Median: s.Median, Max: s.Max, Within: s.N > 0 && s.Max <= bound}
	if s.N > 0 {
		all := sorted(took)
		at := func(part float64) float64 { return all[min(len(all)-1, int(part*float64(len(all))))] }
		row.P90, row.P99 = at(.9), at(.99)
	}
	return row
}

// deathBed is a pair of gateways with an entry point, two servers and clients.
type deathBed struct {
	o       DeathOptions
	pair    *pair.Pair
	nodes   []*lab.Node
	first   *probe.Greeter // on the first of them
	clients *probe.Clients
	ends    []func()
	moves   int // so far
	refused int
}

var deathAddress = netip.MustParseAddrPort("203.0.113.10:8443")

func newDeathBed(ctx context.Context, o DeathOptions) (_ *deathBed, err error) {
	var extra, servers strings.Builder
	for i := 1; i <= 2; i++ {
		to := netip.AddrPortFrom(pair.ServerHost(i), 443)
		fmt.Fprintf(&extra, "[[check]]\nname = \"web%d\"\nkind = \"tcp\"\ntarget = %q\nevery = %q\nfall = %d\n", i, to, o.Every, o.Fall)
		fmt.Fprintf(&servers, "{ address = %q, check = \"web%d\" }, ", to, i)
	}
	fmt.Fprintf(&extra, "[[nat.entry]]\nname = \"web\"\naddress = \"%s/tcp\"\nservers = [%s]\n", deathAddress, strings.TrimSuffix(servers.String(), ", "))
	b := &deathBed{o: o}
	if b.pair, err = pair.New(pair.Options{Binary: o.Binary, Log: o.Log, Extra: extra.String()}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("bench: %w", err), b.close())
		}
	}()
	if b.nodes, err = b.pair.Servers(2); err != nil {
		return nil, err
	}
	for i, node := range b.nodes {
		g, err := probe.StartGreeter(ctx, node, netip.AddrPortFrom(pair.ServerHost(i+1), 443), byte('1'+i))
		if err != nil {
			return nil, err
		}
		b.ends = append(b.ends, g.Stop)
		if i == 0 {
			b.first = g
		}
	}
	for _, g := range b.pair.Gateways {
		if err := g.Start(); err != nil {
			return nil, err
		}
	}
	if err := b.wait(ctx, "the gateways", b.pair.Settled(b.pair.Gateways[0])); err != nil {
		return nil, err
	}
	if err := b.up(ctx); err != nil {
		return nil, err
	}
	b.clients, err = probe.StartClients(ctx, probe.ClientsOptions{Client: b.pair.Outside, Target: deathAddress, Count: o.Clients, Idle: o.Clients / 2})
	return b, err
}

func (b *deathBed) wait(ctx context.Context, what string, met func(context.Context) error) error {
	bound, cancel := context.WithTimeout(ctx, deathPatience)
	defer cancel()
	return b.pair.Wait(bound, what, met)
}

// up waits until both servers are.
func (b *deathBed) up(ctx context.Context) error {
	return b.wait(ctx, "both servers to be up", func(ctx context.Context) error {
		st, err := b.pair.Gateways[0].Status(ctx)
		if err != nil {
			return err
		}
		for _, s := range st.NAT.Entries[0].Servers {
			if s.State != "up" {
				return fmt.Errorf("server %s is %s", s.Address, s.State)
			}
		}
		return nil
	})
}

// die pulls the cable of the first server. Those who are with the second one, from the
// death before, connect anew first: by themselves they would stay there.
func (b *deathBed) die(ctx context.Context, took map[string][]float64) (d Death, err error) {
	if b.clients.With()['1'] != b.o.Clients {
		if err := b.renew(ctx); err != nil {
			return d, err
		}
	}
	b.moves, b.refused = len(b.clients.Moves()), b.clients.Refused()
	died := time.Now()
	if err := b.nodes[0].UnplugAll(); err != nil {
		return d, err
	}
	err = b.wait(ctx, "the clients", func(context.Context) error {
		if n := b.clients.With()['2']; n < b.o.Clients {
			return fmt.Errorf("%d of %d are with the second server", n, b.o.Clients)
		}
		return nil
	})
	if ctx.Err() != nil {
		return d, err
	}
	d.Hanging = b.o.Clients - b.clients.With()['2'] // an error says no more
	var all []float64
	for _, m := range b.clients.Moves()[b.moves:] {
		t := ms(m.Greeted.Sub(died))
		kind := "speaking"
		if m.Idle {
			kind = "silent"
		}
		took[kind], took["all"] = append(took[kind], t), append(took["all"], t)
		all = append(all, t)
	}
	d.Served, d.Refused = len(all), b.clients.Refused()-b.refused
	if len(all) > 0 {
		d.FirstMS, d.LastMS = slices.Min(all), slices.Max(all)
	}
	b.first.Forget() // nobody has told it that its clients have gone
	if err := b.nodes[0].PlugAll(); err != nil {
		return d, err
	}
	return d, b.up(ctx)
}

// renew has all clients connect anew, with both servers up.
func (b *deathBed) renew(ctx context.Context) (err error) {
	b.clients.Stop()
	b.clients, err = probe.StartClients(ctx, probe.ClientsOptions{Client: b.pair.Outside, Target: deathAddress, Count: b.o.Clients, Idle: b.o.Clients / 2})
	return err
}

func (b *deathBed) close() error {
	if b.clients != nil {
		b.clients.Stop()
	}
	for _, end := range b.ends {
		end()
	}
	return b.pair.Close()
}
