package replica

import (
	"bufio"
	"crypto/tls"
	"io"
	"time"

	"understudy/nat/session"
)

// wire is an established connection: TLS over a tap.
type wire struct {
	*tls.Conn
	tap *tap
	// patience is how long the other end may be silent; 0: session.PeerDead.
	patience time.Duration

	// Of one that we read: it has ended with a MOVE of this token, and then another
	// one went on. Guarded by Engine.mu.
	moved     uint64
	successor chan struct{} // closed then; made with moved
}

func (w *wire) deadline() time.Time {
	if w.patience > 0 {
		return time.Now().Add(w.patience)
	}
	return time.Now().Add(session.PeerDead)
}

// fillSize is how much a sender fills at once: a frame and its TLS record.
const fillSize = 16 << 10

// readFrames hands each frame to fn until the connection ends, fn refuses one,
// or the peer is silent for too long. The payload is valid during the call.
func (w *wire) readFrames(fn func(session.Type, []byte) error) error {
	in := bufio.NewReaderSize(w.Conn, 2*fillSize)
	var head [session.HeaderLen]byte
	var payload []byte
	for {
		if err := w.SetReadDeadline(w.deadline()); err != nil {
			return err
		}
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		h, err := session.ParseHeader(head[:])
		if err != nil {
			return err
		}
		if h.Length > cap(payload) {
			payload = make([]byte, max(h.Length, 2*cap(payload)))
		}
		if _, err := io.ReadFull(in, payload[:h.Length]); err != nil {
			return err
		}
		if err := fn(h.Type, payload[:h.Length]); err != nil {
			return err
		}
	}
}

// write sends b. A peer that does not read makes it fail in time.
func (w *wire) write(b []byte) error {
	if err := w.SetWriteDeadline(w.deadline()); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

// kick wakes whoever waits on c. One kick is remembered; more say no more.
func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
