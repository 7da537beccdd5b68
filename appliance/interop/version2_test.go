package interop

import (
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/vrrp"
)

// TestVersion2IsStrict: a better router that does not agree with us in interval,
// password or addresses is counted for what it is and not obeyed (RFC 3768, 7.1);
// one that does is.
func TestVersion2IsStrict(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	d := newDUT(newScene(t), settings{priority: 100, interval: time.Second}, "version = 2\nauth_pass = \"secret\"")
	d.wait("us to be Active", d.is("lan", "active"))
	host := d.injector("10.0.1.9")
	agreed := func() (*vrrp.Advert, []netip.Addr) {
		a := &vrrp.Advert{Version: 2, VRID: d.v.vrid, Priority: 200, Interval: time.Second, AuthType: vrrp.AuthSimple}
		copy(a.Auth[:], "secret")
		return a, []netip.Addr{d.v.address.Addr()}
	}
	for reason, spoil := range map[string]func(*vrrp.Advert, *[]netip.Addr){
		"interval":     func(a *vrrp.Advert, _ *[]netip.Addr) { a.Interval = 2 * time.Second },
		"auth":         func(a *vrrp.Advert, _ *[]netip.Addr) { a.Auth[0] = 'S' },
		"address_list": func(_ *vrrp.Advert, list *[]netip.Addr) { *list = append(*list, netip.MustParseAddr("10.0.1.253")) },
		"version":      func(a *vrrp.Advert, _ *[]netip.Addr) { a.Version = 3 },
	} {
		a, list := agreed()
		spoil(a, &list)
		host.vrrp(vrrp.AppendPacket(nil, a, list, host.src))
		d.wait("a drop for "+reason, func() error {
			r, err := d.router("lan")
			if err == nil && r.Drops[reason] != 1 {
				err = errNotYet
			}
			return err
		})
	}
	d.must(d.is("lan", "active")())
	a, list := agreed()
	host.vrrp(vrrp.AppendPacket(nil, a, list, host.src))
	d.wait("us to be Backup", d.is("lan", "backup"))
}

// TestVersion2IsSealed: with auth_type "ah" an advert counts once, and only in an authentication header that our key has made. What is
// dropped is counted for what it is; and saying again and again what a better router has said once does not keep us Backup.
func TestVersion2IsSealed(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	d := newDUT(newScene(t), settings{priority: 100, interval: time.Second}, "version = 2\nauth_type = \"ah\"\nauth_pass = \"secret\"")
	d.wait("us to be Active", d.is("lan", "active"))
	host := d.injector("10.0.1.9")
	packet := func(priority uint8, sequence uint32, change func(*vrrp.Advert)) []byte {
		a := &vrrp.Advert{Version: 2, VRID: d.v.vrid, Priority: priority, Interval: time.Second, AuthType: vrrp.AuthHeader, Sequence: sequence}
		copy(a.Key[:], "secret")
		if change != nil {
			change(a)
		}
		return vrrp.AppendPacket(nil, a, []netip.Addr{d.v.address.Addr()}, host.src)
	}
	counted := func(reason string, n uint64) {
		t.Helper()
		d.wait("a drop for "+reason, func() error {
			r, err := d.router("lan")
			if err == nil && r.Drops[reason] < n {
				err = errNotYet
			}
			return err
		})
	}
	host.vrrp(packet(200, 1, func(a *vrrp.Advert) { a.Key[0] = 'S' }))
	counted("icv", 1)
	host.vrrp(packet(200, 2, func(a *vrrp.Advert) { a.AuthType, a.Auth = vrrp.AuthSimple, a.Key }))
	host.vrrp(packet(200, 3, func(a *vrrp.Advert) { a.AuthType = vrrp.AuthNone }))
	counted("auth", 2)
	worse := packet(50, 10, nil)
	host.vrrp(worse)
	host.vrrp(worse)
	host.vrrp(packet(200, 9, nil))
	counted("replay", 2)
	d.must(d.is("lan", "active")())
	better := packet(200, 11, nil)
	host.vrrp(better)
	d.wait("us to be Backup", d.is("lan", "backup"))
	d.wait("us to be Active, whatever is said again", func() error {
		host.vrrp(better)
		return d.is("lan", "active")()
	})
	counted("replay", 3)
	list := d.adverts()
	last := list[len(list)-1]
	if last.reason != vrrp.ReasonNone || last.AuthType != vrrp.AuthHeader || last.Auth != [8]byte{} || last.Sequence <= list[0].Sequence {
		t.Errorf("%v: %+v", last.reason, last.Advert)
	}
}
