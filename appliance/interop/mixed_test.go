package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	conf "understudy/appliance/config/keepalived"
	"understudy/appliance/lab"
)

// mixedRows are the configurations of the corpus that two nodes share.
var mixedRows = []string{"vrrp", "vrrp.sync", "vrrp.scripts", "vrrp.localcheck", "neutron.conf", "amphora.conf", "vyos.conf", "firewall.conf", "dual.conf", "drain.conf",
	"vrrp.routes", "vrrp.rules", "vrrp.static_ipaddress", "vrrp.lvs_syncd", "track_interface", "conditional_conf", "sample", "default",
	"vyos-servers.conf", "kubernetes.conf", "cloud.conf", "openshift.conf", "servers.conf", "namespace.conf", "keywords.conf", "static.conf", "mail.conf", "rare.conf", "strict.conf", "SSL_GET"}

// notMixed are the others, and why.
var notMixed = map[string]string{
	"torture.conf":    "keepalived does not put all of its addresses in place",
	"everything.conf": "what it tracks moves priorities by itself, and keepalived does not get one of its addresses into the kernel",
	"big.conf":        "a hundred instances twice, for nothing that the others do not have",
}

// TestMixedIsWhole: every configuration of the corpus is shared by a mixed pair, or is
// named with the reason why not.
func TestMixedIsWhole(t *testing.T) {
	for _, r := range corpus {
		if _, not := notMixed[r.file]; slices.Contains(mixedRows, r.file) == not {
			t.Errorf("%s: shared: %t, left out: %t", r.file, not, not)
		}
	}
}

// TestMixedPairs: keepalived on one node and we on the other, by one configuration. The
// priorities are the same, so the one that comes first keeps everything, though the
// other has the higher address; when it stops, all goes over.
func TestMixedPairs(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	t.Run("rows", func(rows *testing.T) {
		for _, file := range mixedRows {
			for role, first := range map[string]bool{"ours first": true, "theirs first": false} {
				rows.Run(file+"/"+role, func(t *testing.T) {
					t.Parallel()
					i := slices.IndexFunc(corpus, func(r corpusRow) bool { return r.file == file })
					mixed(&scene{T: lab.NewT(rows), t: t}, corpus[i], first)
				})
			}
		}
	})
}

func mixed(s *scene, row corpusRow, ours bool) {
	// A machine that has other things to do must not look like a death.
	row.edit = slices.Concat(row.edit, []string{"advert_int 0.2", "advert_int 1"})
	segments := map[string]*lab.Segment{}
	segment := func(name string) *lab.Segment {
		if segments[name] == nil {
			segments[name] = s.Segment(name)
		}
		return segments[name]
	}
	first := newLifeOn(s, row, ours, segment)
	second := newLifeOn(s, row.other(), !ours, segment)
	want := row.moving(s)
	first.begin()
	s.wait("the first to have everything", apart(first, second, want))
	second.begin()
	s.wait("the second to listen", func() error {
		for _, name := range row.instances(s) {
			if !strings.Contains(second.proc.Output(), "("+name+") Entering BACKUP STATE") {
				return errNotYet
			}
		}
		return nil
	})
	// Longer than it would wait for an advert.
	s.stays("everything with the first", activeDown(100, time.Second)+slack, apart(first, second, want))
	s.must(first.proc.Stop(patience))
	s.wait("the second to have everything", apart(second, first, want))
}

// apart is a condition: one node has all of the addresses, the other none of them.
func apart(has, not *life, want []netip.Addr) func() error {
	return func() error {
		var errs []error
		for _, l := range []*life{has, not} {
			list, err := l.Netlink().AddrList(nil, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			for _, a := range want {
				on := slices.ContainsFunc(list, func(h netlink.Addr) bool { return h.IP.Equal(a.AsSlice()) })
				if on != (l == has) {
					errs = append(errs, fmt.Errorf("%s has %s: %t", l.Name, a, on))
				}
			}
		}
		return errors.Join(errs...)
	}
}

// moving lists the addresses of every instance of the file.
func (r corpusRow) moving(s *scene) (out []netip.Addr) {
	s.t.Helper()
	src, err := os.ReadFile(r.path(s))
	s.must(err)
	w := conf.Elsewhere()
	w.ID = rowID
	f, _ := conf.Parse(r.path(s), []byte(r.edited(string(src))), w)
	for _, in := range f.Instances {
		for _, a := range in.Addresses {
			out = append(out, a.Prefix.Addr())
		}
	}
	if len(out) == 0 {
		s.t.Fatal("nothing moves")
	}
	return out
}

// other is the row of the second node: each of its addresses is the next one after the
// first node's, and where the file names the two of them, they are exchanged.
func (r corpusRow) other() corpusRow {
	var on []string
	swap := slices.Clone(r.edit)
	for _, i := range r.interfaces() {
		words := []string{i.name}
		for _, a := range i.addresses {
			p := netip.MustParsePrefix(a)
			next := p.Addr().Next()
			words = append(words, netip.PrefixFrom(next, p.Bits()).String())
			swap = append(swap, "_ip "+p.Addr().String()+"\n", "_ip "+next.String()+"\n", next.String()+"\n", p.Addr().String()+"\n",
				next.String()+" }", p.Addr().String()+" }")
		}
		on = append(on, strings.Join(words, " "))
	}
	r.on, r.edit = strings.Join(on, ", "), swap
	return r
}
