package election

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

// The daemon is told of adverts that do not outrank us, at a pace; and of the signals
// that are its affair, as they come.
func TestWhatTheDaemonIsTold(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, _, told := loopTelling(t, configOf(200))
		told()
		src := netip.MustParseAddr("10.0.0.3")
		l.advert = vrrp.Advert{Priority: 90}
		for range 3 {
			l.tellInferior(0, src)
		}
		l.now = l.now.Add(inferiorPace)
		l.tellInferior(0, src)
		want := Inferior{Router: l.set.Config().Routers[0].Name, Family: 4, Source: src, Priority: 90}
		if got := told(); len(got) != 2 || got[0] != want || got[1] != want {
			t.Errorf("%+v", got)
		}

		l.events.asked <- "data"
		l.events.asked <- "stats"
		l.events.wake()
		l.turn()
		if got := told(); len(got) != 2 || got[0] != (Request{What: "data"}) || got[1] != (Request{What: "stats"}) {
			t.Errorf("%+v", got)
		}
	})
}

// News come in their order, and a reload that a daemon has not lived to end is over when
// another one is ready.
func TestNews(t *testing.T) {
	heard := make(chan News, 8)
	h := newHerald(func(n News) { heard <- n })
	l := &loop{news: h}
	l.say(NewsReloading)
	if !l.reloads {
		t.Error("no reload is under way")
	}
	l.say(NewsReloaded)
	l.say(NewsStopping)
	h.close()
	for _, want := range []News{NewsReloading, NewsReloaded, NewsStopping} {
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("%d, want %d", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nobody said %d", want)
		}
	}
	if l.reloads {
		t.Error("a reload is still under way")
	}
}
