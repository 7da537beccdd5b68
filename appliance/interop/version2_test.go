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
