package session

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSilent(t *testing.T) {
	all := Ports{0, 65535}
	for _, tt := range []struct {
		name        string
		policy      Policy
		never, late []Calls
	}{
		{"no classes", nil, nil, nil},
		{"a class that changes nothing", Policy{{Proto: protoTCP}}, nil, nil},
		{"one port", Policy{{Proto: protoUDP, Ports: []Ports{{53, 53}}, Never: true}},
			[]Calls{{protoUDP, protoUDP, Ports{53, 53}}}, nil},
		{"a young datagram is told late, a young connection is not",
			Policy{{Ports: []Ports{{53, 53}}, MinAge: time.Second}},
			nil, []Calls{{protoUDP, protoUDP, Ports{53, 53}}, {protoUDPLite, protoUDPLite, Ports{53, 53}}}},
		{"the first class counts", Policy{{Proto: protoUDP, Ports: []Ports{{100, 199}}}, {Proto: protoUDP, Ports: []Ports{{50, 300}}, Never: true}},
			[]Calls{{protoUDP, protoUDP, Ports{50, 99}}, {protoUDP, protoUDP, Ports{200, 300}}}, nil},
		{"neighbours are one", Policy{{Proto: protoTCP, Ports: []Ports{{1, 9}, {10, 20}}, Never: true}},
			[]Calls{{protoTCP, protoTCP, Ports{1, 20}}}, nil},
		{"ICMP is both", Policy{{Proto: protoICMP, Never: true}},
			[]Calls{{protoICMP, protoICMP, all}, {protoICMPv6, protoICMPv6, all}}, nil},
		{"all but one", Policy{{Proto: protoTCP, Ports: []Ports{{22, 22}}}, {Never: true}},
			[]Calls{{0, 5, all}, {6, 6, Ports{0, 21}}, {6, 6, Ports{23, 65535}}, {7, 255, all}}, nil},
		{"to the last port", Policy{{Proto: protoUDP, Ports: []Ports{{60000, 65535}}, MinAge: 1}},
			nil, []Calls{{protoUDP, protoUDP, Ports{60000, 65535}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			never, late := tt.policy.Silent()
			if !slices.Equal(never, tt.never) || !slices.Equal(late, tt.late) {
				t.Errorf("never %v, want %v; late %v, want %v", never, tt.never, late, tt.late)
			}
		})
	}
}

// TestSilentIsThePolicy: whatever the classes are, a flow is in a box exactly if its
// class says so, and in one at most.
func TestSilentIsThePolicy(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	protos := []uint8{0, protoTCP, protoUDP, protoICMP, protoICMPv6, protoSCTP, 47, 136, 255}
	port := func() uint16 { return []uint16{0, 1, 2, 53, 54, 443, 5060, 65534, 65535}[rnd.IntN(9)] }
	for range 2000 {
		var p Policy
		for range rnd.IntN(5) {
			c := Class{Proto: protos[rnd.IntN(len(protos))], Never: rnd.IntN(2) == 0}
			if !c.Never && rnd.IntN(2) == 0 {
				c.MinAge = time.Second
			}
			for range rnd.IntN(3) {
				a, b := port(), port()
				c.Ports = append(c.Ports, Ports{min(a, b), max(a, b)})
			}
			p = append(p, c)
		}
		never, late := p.Silent()
		in := func(list []Calls, k *Key) (n int) {
			for _, c := range list {
				if c.First <= k.Proto && k.Proto <= c.Last && c.Ports.First <= k.DstPort && k.DstPort <= c.Ports.Last {
					n++
				}
			}
			return n
		}
		for range 50 {
			k := Key{Proto: protos[rnd.IntN(len(protos))], DstPort: port()}
			if rnd.IntN(3) == 0 {
				k.Proto = uint8(rnd.Uint32())
			}
			wantNever, wantLate := 0, 0
			if c := p.ClassOf(&k); c >= 0 {
				switch {
				case p[c].Never:
					wantNever = 1
				case p[c].MinAge > 0 && (k.Proto == protoUDP || k.Proto == protoUDPLite):
					wantLate = 1
				}
			}
			if n, l := in(never, &k), in(late, &k); n != wantNever || l != wantLate {
				t.Fatalf("%+v: protocol %d port %d is in %d of %v (want %d) and %d of %v (want %d)",
					p, k.Proto, k.DstPort, n, never, wantNever, l, late, wantLate)
			}
		}
	}
}

// TestNurseryAll: all come of age, those too that were added by a clock which is ahead
// of the caller's, for nobody else would do it later.
func TestNurseryAll(t *testing.T) {
	begin := time.Unix(1000, 0)
	table := NewTable([2]uint64{1, 2}, begin, 0)
	n := NewNursery(Policy{{MinAge: time.Second}})
	r := Record{Key: Key{Proto: protoUDP, Family: 4, SrcPort: 7}}
	s, _, err := table.Upsert(&r, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.Add(begin.Add(time.Millisecond), table, s, 0)
	table.Listen(1)
	if k := n.Due(begin.Add(time.Second), table, Sink(1)); k != 0 || !table.Young(s) {
		t.Fatalf("%d came of age too early", k)
	}
	if k := n.All(begin, table, Sink(1)); k != 1 || table.Young(s) || n.Len() != 0 || table.Dirty(1) != 1 {
		t.Errorf("%d came of age, young %v, %d left, %d to be told", k, table.Young(s), n.Len(), table.Dirty(1))
	}
}
