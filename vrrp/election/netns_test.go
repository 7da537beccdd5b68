package election

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// cable is two network namespaces with a veth between them: lan0, 10.0.0.2/24 in
// the first and 10.0.0.3/24 in the second.
//
//	[0] 10.0.0.2 lan0 ---------- lan0 10.0.0.3 [1]
type cable [2]netns.NsHandle

func newCable(t *testing.T) (c cable) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal("needs root for network namespaces")
		}
		t.Skip("needs root for network namespaces")
	}
	for i := range c {
		onThread(func() {
			ns, err := netns.New()
			if err != nil {
				t.Error(err)
			}
			c[i] = ns
		})
		t.Cleanup(func() { c[i].Close() })
	}
	c.plug(t)
	return c
}

// plug makes the veth, also again after it was deleted.
func (c cable) plug(t *testing.T) {
	t.Helper()
	within(c[0], func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "lan0"
		v := &netlink.Veth{LinkAttrs: attrs, PeerName: "lan0", PeerNamespace: netlink.NsFd(c[1])}
		if err := netlink.LinkAdd(v); err != nil {
			t.Error(err)
		}
	})
	for i, s := range []string{"10.0.0.2/24", "10.0.0.3/24"} {
		within(c[i], func() {
			for _, name := range []string{"lo", "lan0"} {
				l, err := netlink.LinkByName(name)
				if err == nil {
					err = netlink.LinkSetUp(l)
				}
				if err != nil {
					t.Error(err)
				}
			}
			l, _ := netlink.LinkByName("lan0")
			a, _ := netlink.ParseAddr(s)
			if err := netlink.AddrAdd(l, a); err != nil {
				t.Error(err)
			}
		})
	}
	if t.Failed() {
		t.FailNow()
	}
	for i := range c {
		eventually(t, "an operational link", func() (up bool) {
			within(c[i], func() {
				l, err := netlink.LinkByName("lan0")
				up = err == nil && l.Attrs().OperState == netlink.OperUp
			})
			return up
		})
	}
}

// within runs f on a thread in the namespace.
func within(ns netns.NsHandle, f func()) {
	onThread(func() {
		if err := netns.Set(ns); err != nil {
			panic(err)
		}
		f()
	})
}

// onThread runs f on a thread of its own, which is thrown away.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// addressMark tags what the daemons of these tests put into the kernel.
const addressMark = 0x55

// addresses counts what is marked on lan0.
func (c cable) addresses(i int) (n int) {
	within(c[i], func() {
		l, err := netlink.LinkByName("lan0")
		if err != nil {
			return
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_V4)
		for errors.Is(err, netlink.ErrDumpInterrupted) { // some came or went meanwhile
			list, err = netlink.AddrList(l, netlink.FAMILY_V4)
		}
		n = len(list) - 1
	})
	return n
}

// addressMessage is a prepared RTM_NEWADDR or RTM_DELADDR.
func addressMessage(kind uint16, index int, a netip.Prefix) []byte {
	req := nl.NewNetlinkRequest(int(kind), unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	if kind == unix.RTM_DELADDR {
		req = nl.NewNetlinkRequest(int(kind), 0)
	}
	msg := nl.NewIfAddrmsg(unix.AF_INET)
	msg.Index, msg.Prefixlen = uint32(index), uint8(a.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, a.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, a.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(11 /* IFA_PROTO */, []byte{addressMark}))
	return req.Serialize()
}

// heard is an advert that came over the wire.
type heard struct {
	at       time.Time
	from     netip.Addr
	priority uint8
}

// ear listens on an interface of a namespace, to what the other end sends.
type ear struct {
	mu    sync.Mutex
	all   []heard
	each  func(heard)
	reads atomic.Int64 // how often the socket was read until it was empty
}

func (c cable) listen(t *testing.T, i int, each func(heard)) *ear {
	t.Helper()
	return c.listenOn(t, i, "lan0", each)
}

func (c cable) listenOn(t *testing.T, i int, name string, each func(heard)) *ear {
	t.Helper()
	e := &ear{each: each}
	var p *vrrpnet.Port
	within(c[i], func() {
		var err error
		if p, err = vrrpnet.OpenPort(name, 0, 4); err != nil {
			t.Error(err)
		}
	})
	if p == nil {
		t.FailNow()
	}
	var end atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !end.Load() {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}, 20)
			e.drain(p)
			e.reads.Add(1)
		}
	}()
	t.Cleanup(func() { end.Store(true); <-done; p.Close() })
	return e
}

func (e *ear) drain(p *vrrpnet.Port) {
	var f vrrpnet.Frame
	for {
		ok, _ := p.Receive(time.Now(), &f)
		if !ok {
			return
		}
		d, _ := vrrp.ParseDatagram(f.Packet)
		var a vrrp.Advert
		if r := vrrp.ParseAdvert(d, &a); r != vrrp.ReasonNone {
			continue
		}
		h := heard{f.At, d.Src, a.Priority}
		if e.each != nil {
			e.each(h)
		}
		e.mu.Lock()
		e.all = append(e.all, h)
		e.mu.Unlock()
	}
}

// settle waits until all has been heard that was said before.
func (e *ear) settle(t *testing.T) {
	t.Helper()
	was := e.reads.Load()
	eventually(t, "the ear to hear all", func() bool { return e.reads.Load() >= was+2 })
}

func (e *ear) list() []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]heard(nil), e.all...)
}

// count tells how many adverts of a priority were heard.
func (e *ear) count(priority uint8) (n int) {
	for _, h := range e.list() {
		if h.priority == priority {
			n++
		}
	}
	return n
}

// soon is how long what has to come is waited for: a machine may have other things to do.
const soon = 30 * time.Second

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(soon)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// stalls tells how long this process was kept from running at the longest, while it had to run
// every few milliseconds: by so much may others have been late as well.
func stalls(t *testing.T) func() time.Duration {
	t.Helper()
	var longest atomic.Int64
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for last := time.Now(); ; {
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			now := time.Now()
			longest.Store(max(longest.Load(), int64(now.Sub(last))))
			last = now
		}
	}()
	t.Cleanup(func() { close(end); <-done })
	return func() time.Duration { return time.Duration(longest.Load()) }
}

func interfaceIndex(name string) int {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return i.Index
}
