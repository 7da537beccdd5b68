package election

import "time"

// herald tells of news in their order, on a goroutine of its own: whoever listens may
// be slow. Four wait at most; there are no more than that, unless nobody listens.
type herald struct {
	newsC  chan News
	endedC chan struct{}
}

func newHerald(say func(News)) *herald {
	h := &herald{newsC: make(chan News, 4), endedC: make(chan struct{})}
	go func() { // ends with close
		defer close(h.endedC)
		for n := range h.newsC {
			if say != nil {
				say(n)
			}
		}
	}()
	return h
}

// close lets the goroutine end, for at most a second.
func (h *herald) close() {
	close(h.newsC)
	select {
	case <-h.endedC:
	case <-time.After(time.Second):
	}
}

// say tells of news.
func (l *loop) say(n News) {
	l.reloads = n == NewsReloading || l.reloads && n != NewsReloaded
	select {
	case l.news.newsC <- n:
	default:
	}
}

// readRequests passes signals on.
func (l *loop) readRequests() {
	for {
		select {
		case what := <-l.events.asked:
			l.tell(Request{What: what})
		default:
			return
		}
	}
}
