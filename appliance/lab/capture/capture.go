package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Segment is what a capture needs of a lab.Segment.
type Segment interface {
	Do(func() error) error
	PortOwner(ifindex int) string
}

// Options selects what is kept. The zero value keeps the first 128 bytes of
// every frame, at most 200,000 of them.
type Options struct {
	// Filter is run by the kernel over each frame from its Ethernet header on.
	// What it refuses costs this process nothing.
	Filter []bpf.Instruction
	// Keep, if set, is asked about each frame that passed the filter. It must
	// not hold on to the frame's data.
	Keep func(Frame) bool
	// SnapLen cuts frames off; 0 is 128.
	SnapLen int
	// Max is how many frames are kept; later ones are counted and lost. 0 is
	// 200,000.
	Max int
}

// Frame is one Ethernet frame as a node sent it.
type Frame struct {
	At   time.Time // with a monotonic reading
	From string    // name of the sending node
	Len  int       // on the wire; Data may be shorter
	Data []byte
}

// Capture is a running or ended recording.
type Capture struct {
	seg  Segment
	opt  Options
	file *os.File
	done chan struct{}
	base time.Time // pairs the wall clock of the kernel's stamps with the monotonic one

	mu     sync.Mutex
	frames []Frame
	over   int
	err    error
}

// Start begins to record; every frame sent after it has returned is seen.
func Start(seg Segment, opt Options) (*Capture, error) {
	if opt.SnapLen == 0 {
		opt.SnapLen = 128
	}
	if opt.Max == 0 {
		opt.Max = 200_000
	}
	c := &Capture{seg: seg, opt: opt, done: make(chan struct{}), base: time.Now()}
	err := seg.Do(func() error {
		fd, err := open(opt)
		if err != nil {
			return err
		}
		c.file = os.NewFile(uintptr(fd), "capture")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	go c.read()
	return c, nil
}

func open(opt Options) (int, error) {
	// Protocol 0: deaf until bound, so the filter is there from the first frame.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", err)
	}
	err = func() error {
		for _, o := range []struct {
			name            string
			level, opt, val int
		}{
			{"ignore outgoing", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
			{"timestamps", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1},
			{"receive buffer", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16 << 20},
		} {
			if err := unix.SetsockoptInt(fd, o.level, o.opt, o.val); err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
		}
		if opt.Filter != nil {
			if err := attach(fd, opt.Filter); err != nil {
				return err
			}
		}
		all := uint16(unix.ETH_P_ALL)
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8}); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		return nil
	}()
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func attach(fd int, filter []bpf.Instruction) error {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	return nil
}

func (c *Capture) read() {
	defer close(c.done)
	raw, err := c.file.SyscallConn()
	if err != nil {
		c.fail(err)
		return
	}
	r := receiver{buf: make([]byte, c.opt.SnapLen), oob: make([]byte, 128)}
	for {
		if err := raw.Read(r.receive); err != nil {
			break // by Stop
		}
		if !c.take(&r) {
			return
		}
	}
	// What was sent before Stop belongs to the recording.
	for {
		if err := raw.Control(func(fd uintptr) { r.receive(fd) }); err != nil || r.err == unix.EAGAIN || !c.take(&r) {
			return
		}
	}
}

// receiver is one frame as it came from the socket.
type receiver struct {
	buf, oob []byte
	n, oobn  int
	from     unix.Sockaddr
	err      error
}

func (r *receiver) receive(fd uintptr) (done bool) {
	r.n, r.oobn, _, r.from, r.err = unix.Recvmsg(int(fd), r.buf, r.oob, unix.MSG_TRUNC)
	return r.err != unix.EAGAIN
}

// take keeps what was received. It is false when nothing more can be.
func (c *Capture) take(r *receiver) bool {
	switch r.err {
	case nil:
	case unix.EINTR, unix.ENETDOWN: // the latter: a node rebooted
		return true
	default:
		c.fail(r.err)
		return false
	}
	// Frames that the bridge passes up come again, from the bridge itself,
	// which nobody owns.
	if ll, ok := r.from.(*unix.SockaddrLinklayer); ok {
		if owner := c.seg.PortOwner(ll.Ifindex); owner != "" {
			c.add(Frame{At: c.stamp(r.oob[:r.oobn]), From: owner, Len: r.n, Data: r.buf[:min(r.n, len(r.buf))]})
		}
	}
	return true
}

func (c *Capture) add(f Frame) {
	if c.opt.Keep != nil && !c.opt.Keep(f) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) >= c.opt.Max {
		c.over++
		return
	}
	f.Data = append([]byte(nil), f.Data...)
	c.frames = append(c.frames, f)
}

func (c *Capture) stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now()
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_TIMESTAMPNS || len(m.Data) < 16 {
			continue
		}
		wall := time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		return c.base.Add(wall.Sub(c.base.Round(0)))
	}
	return time.Now()
}

func (c *Capture) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// Frames returns what was recorded so far, in the order of arrival.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Stop ends the recording. The error tells whether it is incomplete: frames
// lost in the kernel or past Options.Max, or a failed read.
func (c *Capture) Stop() error {
	if err := c.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil // stopped before
		}
		return fmt.Errorf("capture: %w", err)
	}
	<-c.done
	lost, err := c.kernelDrops()
	err = errors.Join(err, c.file.Close())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch err := errors.Join(err, c.err); {
	case err != nil:
		return fmt.Errorf("capture: %w", err)
	case lost > 0:
		return fmt.Errorf("capture: %d frames lost for want of time to read them", lost)
	case c.over > 0:
		return fmt.Errorf("capture: %d frames past the limit of %d", c.over, c.opt.Max)
	}
	return nil
}

func (c *Capture) kernelDrops() (drops uint32, err error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) {
		var st *unix.TpacketStats
		if st, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			drops = st.Drops
		}
	})
	return drops, errors.Join(cerr, err)
}
