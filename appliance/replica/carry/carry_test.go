package carry_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/replica/carry"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// machines are two with a connection table each; 203.0.113.1 is about to move from the
// first to the second.
type machines struct {
	t        *testing.T
	old, new *lab.Node
}

func newMachines(t *testing.T) *machines {
	lab.Require(t)
	l := lab.NewT(t)
	m := &machines{t: t, old: l.Node("old"), new: l.Node("new")}
	wan := l.Segment("wan")
	l.Join(m.old, wan, "wan0", "203.0.113.2/24", "203.0.113.1/24")
	l.Join(m.new, wan, "wan0", "203.0.113.3/24")
	return m
}

func (m *machines) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// plant gives a kernel connections.
func (m *machines) plant(n *lab.Node, recs ...session.Record) {
	m.t.Helper()
	m.must(n.Do(func() error {
		k, err := conntrack.OpenKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		results := make([]error, len(recs))
		if err := k.Install(recs, conntrack.InstallOptions{}, results); err != nil {
			return err
		}
		return errors.Join(results...)
	}))
}

// has lists a kernel's connections.
func (m *machines) has(n *lab.Node) (out []string) {
	m.t.Helper()
	m.must(n.Do(func() error {
		k, err := conntrack.OpenKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		return k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
			if ev.Rec.Proto == unix.IPPROTO_TCP || ev.Rec.Proto == unix.IPPROTO_UDP {
				out = append(out, line(&ev.Rec))
			}
		})
	}))
	slices.Sort(out)
	return out
}

// line is what counts of a connection.
func line(r *session.Record) string {
	at := func(a session.Addr, port uint16) string { return netip.AddrPortFrom(a.Netip(r.Family), port).String() }
	nat := r.Status & (session.StatusSrcNAT | session.StatusDstNAT)
	master := ""
	if r.Master.Family != 0 {
		master = " of " + at(r.Master.Src, r.Master.SrcPort)
	}
	return fmt.Sprintf("%d %s > %s, %s > %s, state %d, scales %d %d, nat %#x, mark %d%s", r.Proto, at(r.Src, r.SrcPort), at(r.Dst, r.DstPort),
		at(r.ReplySrc, r.ReplySrcPort), at(r.ReplyDst, r.ReplyDstPort), r.TCP.State, r.TCP.WScaleOrig, r.TCP.WScaleReply, nat, r.Mark, master)
}

func (m *machines) export() []byte {
	m.t.Helper()
	var b bytes.Buffer
	m.must(m.old.Do(func() error { _, err := carry.Export(&b, "old"); return err }))
	return b.Bytes()
}

func (m *machines) importInto(n *lab.Node, stream []byte, keep bool) (o carry.Outcome, err error) {
	m.t.Helper()
	m.must(n.Do(func() error { o, err = carry.Import(bytes.NewReader(stream), keep); return nil }))
	return o, err
}

// flow is an established connection that is answered from where it goes to, and as whom
// it came.
func flow(proto uint8, src, dst, replySrc, replyDst string) session.Record {
	a := func(s string) (session.Addr, uint16) {
		p := netip.MustParseAddrPort(s)
		return session.AddrFrom(p.Addr()), p.Port()
	}
	r := session.Record{Status: session.StatusSeenReply | session.StatusAssured | session.StatusConfirmed, Timeout: 300}
	r.Proto, r.Family = proto, 4
	if netip.MustParseAddrPort(src).Addr().Is6() {
		r.Family = 6
	}
	r.Src, r.SrcPort = a(src)
	r.Dst, r.DstPort = a(dst)
	r.ReplySrc, r.ReplySrcPort = a(replySrc)
	r.ReplyDst, r.ReplyDstPort = a(replyDst)
	if proto == unix.IPPROTO_TCP {
		r.TCP = session.TCP{State: session.TCPEstablished, WScaleOrig: 7, WScaleReply: 9, FlagsOrig: 3, FlagsReply: 3}
	}
	return r
}

const (
	tcp = unix.IPPROTO_TCP
	udp = unix.IPPROTO_UDP
)

// through are connections through the first machine, of every kind.
func through() []session.Record {
	snat := flow(tcp, "10.0.0.5:40000", "198.51.100.7:443", "198.51.100.7:443", "203.0.113.1:20000")
	half := flow(tcp, "10.0.0.6:40000", "198.51.100.7:443", "198.51.100.7:443", "203.0.113.1:20001")
	half.TCP.State = session.TCPCloseWait
	marked := flow(udp, "10.0.0.5:5000", "198.51.100.8:53", "198.51.100.8:53", "203.0.113.1:5000")
	marked.Mark, marked.Timeout = 77, 20
	child := flow(tcp, "198.51.100.7:20", "203.0.113.1:30000", "10.0.0.5:30000", "198.51.100.7:20")
	child.Master = snat.Key
	grandchild := flow(udp, "10.0.0.5:7000", "198.51.100.7:7000", "198.51.100.7:7000", "203.0.113.1:7000")
	grandchild.Master = child.Key
	return []session.Record{snat, half, marked, child, grandchild,
		flow(tcp, "198.51.100.9:6000", "203.0.113.1:80", "10.0.0.20:8080", "198.51.100.9:6000"),
		flow(tcp, "[2001:db8:1::5]:40000", "[2001:db8:9::7]:443", "[2001:db8:9::7]:443", "[2001:db8:1::5]:40000")}
}

// local are connections that end at one of the machines.
func local() []session.Record {
	return []session.Record{
		flow(tcp, "198.51.100.9:22000", "203.0.113.2:22", "203.0.113.2:22", "198.51.100.9:22000"), // at the old one
		flow(tcp, "203.0.113.1:50000", "198.51.100.9:443", "198.51.100.9:443", "203.0.113.1:50000"),
		flow(udp, "198.51.100.9:500", "203.0.113.1:500", "203.0.113.1:500", "198.51.100.9:500"),
		flow(tcp, "198.51.100.9:80", "203.0.113.1:81", "203.0.113.2:8080", "198.51.100.9:80"), // translated to a port of its own
		flow(tcp, "10.0.0.5:22000", "203.0.113.3:22", "203.0.113.3:22", "10.0.0.5:22000"),     // at the new one, through the old
	}
}

// What goes through the first machine is in the second's kernel as it was, and what ends at
// either is not.
func TestCarry(t *testing.T) {
	m := newMachines(t)
	m.plant(m.old, through()...)
	want := m.has(m.old)
	if len(want) != len(through()) {
		t.Fatalf("the old machine has\n%q", want)
	}
	m.plant(m.old, local()...)
	stream := m.export()
	for range 2 { // the second time they are there already
		o, err := m.importInto(m.new, stream, false)
		if err != nil || o.From != "old" || o.Installed != len(want) || o.Ends != 1 || o.Left() != 0 || o.Kept != 0 {
			t.Fatalf("%+v, %v", o, err)
		}
		if have := m.has(m.new); !slices.Equal(have, want) {
			t.Fatalf("the new machine has\n%q, want\n%q", have, want)
		}
	}
	m.must(m.new.Do(func() error { // until its first packet each has time, and its windows are not looked at
		k, err := conntrack.OpenKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		for _, r := range through() {
			got, err := k.Get(r.Key)
			if err != nil {
				return err
			}
			if got.Timeout < uint32(carry.Hold.Seconds())-60 || r.Proto == tcp && got.TCP.FlagsOrig&session.TCPFlagLiberal == 0 {
				t.Errorf("%s: timeout %d, flags %#x", got.String(), got.Timeout, got.TCP.FlagsOrig)
			}
		}
		return nil
	}))
}

// What the new machine's kernel has of an earlier life is replaced before the swap, and
// kept once it forwards.
func TestWhatIsInTheWay(t *testing.T) {
	all := through()
	same := all[0]
	same.ReplyDstPort = 23456 // another translation of the connection
	other := flow(tcp, "10.0.0.99:1", "198.51.100.7:443", "198.51.100.7:443", "203.0.113.1:20001")
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%t", keep), func(t *testing.T) {
			m := newMachines(t)
			m.plant(m.old, all...)
			want := m.has(m.old)
			m.plant(m.new, same, other)
			before := m.has(m.new)
			o, err := m.importInto(m.new, m.export(), keep)
			have := m.has(m.new)
			if !keep {
				if err != nil || o.Installed != len(all) || o.Left() != 0 || !slices.Equal(have, want) {
					t.Fatalf("%+v, %v; there is\n%q, want\n%q", o, err, have, want)
				}
				return
			}
			if err != nil || o.Kept != 1 || o.Left() != 1 || o.Refused[conntrack.ErrClash.Error()] != 1 || o.Installed != len(all)-2 {
				t.Fatalf("%+v, %v", o, err)
			}
			for _, l := range before {
				if !slices.Contains(have, l) {
					t.Errorf("%s has gone", l)
				}
			}
		})
	}
}

// A stream that was cut off anywhere, was damaged or is of this machine is not taken for
// the whole of another's table.
func TestStreamsThatAreNotWhole(t *testing.T) {
	m := newMachines(t)
	m.plant(m.old, through()...)
	stream := m.export()
	for cut := 1; cut < len(stream); cut += 7 {
		if _, err := m.importInto(m.new, stream[:len(stream)-cut], false); !errors.Is(err, carry.ErrCutOff) && !errors.Is(err, carry.ErrFormat) {
			t.Fatalf("%d bytes less: %v", cut, err)
		}
	}
	if o, err := m.importInto(m.new, stream[:len(stream)-1], false); !errors.Is(err, carry.ErrCutOff) || o.Installed == 0 {
		t.Errorf("without its end: %+v, %v", o, err)
	}
	for at := 0; at < len(stream); at += 11 {
		damaged := bytes.Clone(stream)
		damaged[at] ^= 0x10
		if _, err := m.importInto(m.new, damaged, false); err == nil {
			t.Fatalf("byte %d is another: not seen", at)
		}
	}
	if _, err := m.importInto(m.new, []byte("#!/bin/sh\necho hello\n"), false); !errors.Is(err, carry.ErrFormat) {
		t.Errorf("a script: %v", err)
	}
	if _, err := m.importInto(m.old, stream, false); !errors.Is(err, carry.ErrSameTable) {
		t.Errorf("into the same kernel: %v", err)
	}
}
