package interop

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// vectorFile belongs to the tests of the parser. Here each of its packets goes
// the whole way: over a wire, through the socket and its filter, into an
// election that runs.
const vectorFile = "../../vrrp/testdata/vectors.txt"

// vector is one packet, and what is to become of it.
type vector struct {
	name   string
	packet []byte
	router string // whose counter moves
	reason string // the counter: a reason, or "received"
}

// TestVectors injects each packet and wants one counter to move by one, no other
// one, and for a packet that is refused nothing else to change.
func TestVectors(t *testing.T) {
	s := newScene(t)
	d := joinDUT(s, settings{})
	// The longest interval there is: nobody's timer runs out during the test.
	set := settings{priority: 100, interval: 40950 * time.Millisecond}
	block := make([]string, 255)
	for i := range block {
		block[i] = fmt.Sprintf(`"10.8.0.%d/16"`, i+1)
	}
	var config strings.Builder
	for _, r := range []struct {
		vrid      uint8
		addresses string
	}{
		{5, `"10.0.1.16/24"`}, {51, `"10.0.1.5/24"`}, {52, `"10.0.1.6/24", "10.0.1.7/24"`}, {53, `"10.0.1.8/24"`},
		{60, `"192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24"`}, {61, strings.Join(block, ",")}, {63, `"10.0.1.9/24"`},
	} {
		config.WriteString(routerTOML(fmt.Sprintf("r%d", r.vrid), "lan0", r.vrid, set, r.addresses, ""))
	}
	d.run(config.String())
	d.wait("us to be Backup", d.is("r53", "backup"))
	host := s.socket(d.host, "lan0")

	d.takesAll(t, host, append(handMade(t), fileVectors(t, 3, 4)...))
}

// takesAll injects packets: those last that are accepted, because they move timers.
func (d *dut) takesAll(t *testing.T, host *socket, all []vector) {
	for _, refused := range []bool{true, false} {
		for _, v := range all {
			if refused != (v.reason == "received") {
				t.Run(v.name, func(t *testing.T) { d.takes(t, host, v) })
			}
		}
	}
}

// TestVectorsVersion2 is the same for routers of version 2, whose interval has to
// be that of the packets: each packet follows one that keeps the router quiet.
func TestVectorsVersion2(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := joinDUT(s, settings{})
	set := settings{priority: 100, interval: time.Second}
	d.run(routerTOML("r51", "lan0", 51, set, `"10.0.1.5/24"`, "version = 2") +
		routerTOML("r52", "lan0", 52, set, `"10.0.1.6/24", "10.0.1.7/24"`, "version = 2\nauth_pass = \"s3cr3t\""))
	d.wait("us to be Backup", d.is("r52", "backup"))
	host := s.socket(d.host, "lan0")
	good := map[string]vector{}
	all := fileVectors(t, 2, 4)
	for _, v := range all {
		if v.reason == "received" && v.packet[22] > 0 {
			good[v.router] = v
		}
	}
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) {
			d.counted(t, host, good[v.router])
			d.takes(t, host, v)
		})
	}
}

// counted injects a packet and waits for its counter.
func (d *dut) counted(t *testing.T, host *socket, v vector) (before, after map[string]uint64) {
	t.Helper()
	before = d.counters(t)
	host.vrrp(v.packet)
	(&scene{T: d.T, t: t}).wait("a counter", func() error {
		after = d.counters(t)
		if after[v.router+" "+v.reason] == before[v.router+" "+v.reason] {
			return fmt.Errorf("%s %s stands still", v.router, v.reason)
		}
		return nil
	})
	return before, after
}

// takes injects a packet and wants what is to become of it, and nothing else.
func (d *dut) takes(t *testing.T, host *socket, v vector) {
	t.Helper()
	before, after := d.counted(t, host, v)
	for key, n := range after {
		moved := n - before[key]
		switch router, what, _ := strings.Cut(key, " "); {
		case router == v.router && what == v.reason:
			if moved != 1 {
				t.Errorf("%s moved by %d", key, moved)
			}
		case moved == 0:
		case router == v.router && v.reason == "received" && free(what):
		case router != v.router && free(what): // its own timer
		case what == v.reason && v.router == anyRouter:
		default:
			t.Errorf("%s moved too, by %d", key, moved)
		}
	}
}

// free says what an accepted packet may move.
func free(what string) bool {
	return what == "interval_mismatch" || what == "address_mismatch" || what == "transitions" || what == "sent" || strings.HasPrefix(what, "state ")
}

// anyRouter is the one to look at where a packet is nobody's: it counts for each
// router of the interface.
const anyRouter = "r53"

// counters flattens the status: "ROUTER WHAT" to a number, and states too.
func (d *dut) counters(t *testing.T) map[string]uint64 {
	t.Helper()
	st, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]uint64{}
	for _, r := range st.Routers {
		all[r.Name+" received"] = r.Adverts.Received
		all[r.Name+" transitions"] = r.Transitions
		all[r.Name+" sent"] = r.Adverts.Sent
		all[r.Name+" interval_mismatch"] = r.Adverts.IntervalMismatch
		all[r.Name+" address_mismatch"] = r.Adverts.AddressMismatch
		all[r.Name+" state "+r.State+" under "+r.ActiveAddress] = 1
		for reason, n := range r.Drops {
			all[r.Name+" "+reason] = n
		}
	}
	return all
}

// fileVectors reads the packets of the parser's vectors that are meant for a router
// of that version and family.
func fileVectors(t *testing.T, version, family int) (list []vector) {
	t.Helper()
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, stanza := range strings.Split(string(text), "\n\n") {
		field := map[string]string{}
		for _, line := range strings.Split(stanza, "\n") {
			word, rest, _ := strings.Cut(line, " ")
			field[word] = rest
		}
		packet, err := hex.DecodeString(field["packet"])
		if err != nil {
			t.Fatal(err)
		}
		if len(packet) < 22 || packet[0]>>4 != byte(family) {
			continue // a comment, or the other family
		}
		header := 40
		if family == 4 {
			header = int(packet[0]&15) * 4
		}
		v := vector{name: field["vector"], packet: packet, router: fmt.Sprintf("r%d", packet[header+1]), reason: field["within"]}
		if !strings.Contains(field["config"], fmt.Sprintf("version=%d", version)) {
			continue
		}
		if v.reason == "none" {
			v.reason = "received"
		}
		if v.reason == "vrid" {
			v.router = anyRouter
		}
		list = append(list, v)
	}
	if least := map[int]int{4: 9, 6: 7}[family]; len(list) < least {
		t.Fatalf("%s has %d vectors of version %d and family %d only", vectorFile, len(list), version, family)
	}
	return list
}

// handMade is what the file does not have: rules of a running receiver, and
// oddities of IP.
func handMade(t *testing.T) []vector {
	t.Helper()
	base, err := hex.DecodeString("45c0002000010000ff70cf990a000101e00000123135c8010064fb5c0a000108")
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(b []byte) []byte) []byte { return ipSum(f(append([]byte{}, base...))) }
	at := func(i int, v byte) []byte { return change(func(b []byte) []byte { b[i] = v; return messageSum(b) }) }
	return []vector{
		{"TTL 0", at(8, 0), "r53", "ttl"},
		{"TTL 1", at(8, 1), "r53", "ttl"},
		{"another group", at(19, 0x13), "r53", "destination"},
		{"type 0", at(20, 0x30), "r53", "type"},
		{"VRID 0", at(21, 0), anyRouter, "vrid"},
		{"version 2 for a router of version 3", version2(t), "r51", "version"},
		{"our own address", change(func(b []byte) []byte { b[15] = 2; return b }), "r53", "own"},
		{"a fragment", at(6, 0x20), anyRouter, "truncated"},
		{"longer than its IP header says", at(3, 0x1f), "r53", "length"},
		{"an octet too many", change(func(b []byte) []byte { b[3]++; return append(b, 0) }), "r53", "length"},
		{"one bit wrong", change(func(b []byte) []byte { b[31] ^= 1; return b }), "r53", "checksum"},
		{"reserved bits set", at(24, 0xf0), "r53", "received"},
		{"IP options", change(func(b []byte) []byte {
			b[0], b[3] = 0x46, 0x24
			return append(append(append([]byte{}, b[:20]...), 1, 1, 1, 1), b[20:]...)
		}), "r53", "received"},
	}
}

func version2(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString("45c0002800010000ff70cf910a000101e00000122133c80100010bc50a0001050000000000000000")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ipSum and messageSum put right checksums on a packet. They are written down
// anew: a fault of the codec must not make its own proof.
func ipSum(b []byte) []byte {
	n := int(b[0]&15) * 4
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], internetSum(b[:n]))
	return b
}

func messageSum(b []byte) []byte {
	b[26], b[27] = 0, 0
	binary.BigEndian.PutUint16(b[26:], internetSum(b[20:]))
	return b
}

func internetSum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// Frames that are not for the group, or not for us, are not even counted.
func TestFramesForOthers(t *testing.T) {
	s := newScene(t)
	d := newDUT(s, settings{priority: 100, interval: 40950 * time.Millisecond}, "")
	host := s.socket(d.host, "lan0")
	advert := vrrpPacket(t)
	before := d.counters(t)
	host.frame(hostMAC, "02:00:00:00:99:99", unix.ETH_P_IP, advert) // somebody else's MAC
	host.frame(hostMAC, "01:00:5e:00:00:12", 0x88b5, advert)        // not IP
	udp := append([]byte{}, advert...)
	udp[9] = 17
	host.vrrp(ipSum(udp)) // not VRRP
	r := d.injector("10.0.1.1")
	r.heard(50, 40950*time.Millisecond, vrrp.FormPseudo) // after which all of the above is through
	after := d.counters(t)
	maps.DeleteFunc(after, func(key string, n uint64) bool {
		return before[key] == n || key == "lan received" || strings.Contains(key, " state ")
	})
	if len(after) > 0 {
		t.Errorf("moved: %v", after)
	}
}

func vrrpPacket(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString("45c0002000010000ff70cf990a000101e00000123135c8010064fb5c0a000108")
	if err != nil {
		t.Fatal(err)
	}
	b[21] = 51
	return messageSum(b)
}

// The packet that meets an owner of the same addresses: erratum 8298 has it
// processed like any other, and of two owners the higher address stays.
func TestVectorForAnOwner(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := &dut{box: &box{scene: s, Node: s.Node("ours")}, host: s.Node("host")}
	s.Join(d.Node, s.lan, "lan0", "10.0.1.8/24")
	s.Join(d.host, s.lan, "lan0", "10.0.1.9/24")
	d.wire = s.record(s.lan)
	d.run(routerTOML("r53", "lan0", 53, settings{priority: 255, interval: time.Second}, `"10.0.1.8/24"`, ""))
	s.wait("us to be Active", d.is("r53", "active"))
	all := fileVectors(t, 3, 4)
	i := slices.IndexFunc(all, func(v vector) bool { return v.name == "v3_ipv4_to_local_owner" })
	_, after := d.counted(t, s.socket(d.host, "lan0"), all[i])
	for _, r := range vrrp.Reasons() {
		if after["r53 "+r.String()] > 0 {
			t.Errorf("refused for %v", r)
		}
	}
	s.wait("us to yield", d.is("r53", "backup"))
}
