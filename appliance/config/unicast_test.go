package config

import (
	"net/netip"
	"reflect"
	"testing"

	"understudy/vrrp"
)

// TestUnicast: what the file says reaches the election, which takes it: a peer
// outside of the router's networks may be a hop away.
func TestUnicast(t *testing.T) {
	c := parse(t, "f", `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24", "10.0.1.1/32"]
unicast = ["10.0.0.3", "10.0.0.2", "10.0.1.3"]
source = "10.0.0.2"
`)
	set := c.Election()
	r := set.Routers[0]
	a := netip.MustParseAddr
	want := []vrrp.Peer{{Address: a("10.0.0.3")}, {Address: a("10.0.0.2")}, {Address: a("10.0.1.3"), Routed: true}}
	if r.Source != a("10.0.0.2") || !reflect.DeepEqual(r.Peers, want) {
		t.Errorf("the election gets %+v", r)
	}
	if _, err := vrrp.NewSet(set); err != nil {
		t.Error(err)
	}
}

// TestUnicastIsAgreedOn: nodes of which one goes by multicast would both be active.
// The lists themselves are each node's own.
func TestUnicastIsAgreedOn(t *testing.T) {
	src := "node = \"gw1\"\n[[router]]\nname = \"a\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"10.0.0.1/24\"]\n"
	multicast, one, other := parse(t, "f", src), parse(t, "f", src+"unicast = [\"10.0.0.2\"]\n"),
		parse(t, "f", src+"unicast = [\"10.0.0.3\"]\nsource = \"10.0.0.2\"\n")
	if multicast.Hash() == one.Hash() {
		t.Error("unicast and multicast have one hash")
	}
	if one.Hash() != other.Hash() {
		t.Errorf("two nodes that list each other do not agree:\n%s\n%s", one.Agreement(), other.Agreement())
	}
}

// TestUnicastOfBothFamilies: each family has its own of the list.
func TestUnicastOfBothFamilies(t *testing.T) {
	c := parse(t, "f", `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"]
unicast = ["10.0.0.3", "fe80::3", "2001:db8::3", "2001:db8:1::3"]
source = "2001:db8::2"
`)
	if _, err := vrrp.NewSet(c.Election()); err != nil {
		t.Error(err)
	}
	a := netip.MustParseAddr
	for _, r := range c.Election().Routers {
		want, source := []vrrp.Peer{{Address: a("10.0.0.3")}}, netip.Addr{}
		if r.Family == 6 {
			want = []vrrp.Peer{{Address: a("fe80::3"), Routed: true}, {Address: a("2001:db8::3"), Routed: true}, {Address: a("2001:db8:1::3"), Routed: true}}
			source = a("2001:db8::2")
		}
		if r.Source != source || !reflect.DeepEqual(r.Peers, want) {
			t.Errorf("ipv%d: from %v to %v", r.Family, r.Source, r.Peers)
		}
	}
}
