// Package replay gives a recording's inputs to the real machines again, and finds the
// first decision that is another one than was recorded.
//
//	report, err := replay.File("election-20260128T071122.123456-0001.jsonl")
//
// A machine with the same state and the same inputs decides the same, so a difference is
// one of the program: between the one that recorded and this one.
package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/vrrp"
	"understudy/vrrp/record"
)

// Report is what became of a recording.
type Report struct {
	record.Header
	Steps   int
	Lost    uint64        // steps that the recorder had to leave out
	Span    time.Duration // from the first line to the last
	Whole   bool          // it begins with the machine's configuration, not with a state
	Unknown []string      // fields of the recording that this program does not have
	Diff    *Difference   // nil: all as recorded
}

// Difference is the first decision that is another one.
type Difference struct {
	Line          int
	At            time.Duration // since the start of the recording
	Do            string
	In            string
	Recorded, Now string
}

func (d *Difference) String() string {
	return fmt.Sprintf("line %d, %v after the start: %s\n  given:    %s\n  recorded: %s\n  now:      %s", d.Line, d.At, d.Do, d.In, d.Recorded, d.Now)
}

// machine is what a recording is of.
type machine interface {
	begin(c *record.Codec, now time.Time, config []byte) error
	restore(c *record.Codec, state []byte) error
	do(c *record.Codec, now time.Time, what string, in []byte) (out any, err error)
}

var errEarly = errors.New("replay: a step before the machine's configuration or state")

// base is what times are counted from; any will do.
var base = time.Unix(0, 0).UTC()

// File replays a file.
func File(path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	return Replay(f)
}

// Replay replays a recording to its end, or to the first difference.
func Replay(r io.Reader) (Report, error) { return run(r, nil) }

var errDiffers = errors.New("differs")

// run calls each, if there is one, with what a step gave this time.
func run(r io.Reader, each func(number int, out []byte)) (rep Report, err error) {
	c := &record.Codec{Base: base, Types: Types()}
	p := player{rep: &rep, c: c, each: each}
	rep.Header, err = record.Read(r, func(h record.Header, n int, l *record.Line) error {
		switch h.Machine {
		case Election:
			p.fresh = func() machine { return &set{} }
		case Daemon:
			p.fresh = func() machine { return &core{} }
		default:
			return fmt.Errorf("replay: nobody knows the machine %q", h.Machine)
		}
		return p.line(n, l)
	})
	if errors.Is(err, errDiffers) {
		err = nil
	}
	slices.Sort(c.Unknown)
	rep.Unknown = slices.Compact(c.Unknown)
	return rep, err
}

// The machines, as their recordings are called.
const (
	Election = "election"
	Daemon   = "daemon"
)

type player struct {
	rep   *Report
	c     *record.Codec
	fresh func() machine
	m     machine
	each  func(int, []byte)
	first int64
	begun bool
}

func (p *player) line(n int, l *record.Line) error {
	if !p.begun {
		p.begun, p.first = true, l.T
		p.rep.Whole = l.Config != nil
	}
	p.rep.Span = time.Duration(l.T - p.first)
	now := base.Add(time.Duration(l.T))
	wrap := func(err error) error {
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		return nil
	}
	switch {
	case l.Config != nil:
		p.m = p.fresh()
		return wrap(p.m.begin(p.c, now, l.Config))
	case l.State != nil:
		p.rep.Lost += l.Lost
		p.m = p.fresh()
		return wrap(p.m.restore(p.c, l.State))
	case p.m == nil:
		return wrap(errEarly)
	}
	out, err := p.do(now, l)
	if err != nil {
		return wrap(err)
	}
	b, err := p.c.EncodeValue(out)
	if err != nil {
		return wrap(err)
	}
	p.rep.Steps++
	if p.each != nil {
		p.each(n, b)
		return nil
	}
	if !bytes.Equal(b, l.Out) {
		p.rep.Diff = &Difference{Line: n, At: time.Duration(l.T), Do: l.Do, In: string(l.In), Recorded: string(l.Out), Now: string(b)}
		return errDiffers
	}
	return nil
}

// do has the machine decide. A state that nobody had may break it: a file from elsewhere.
func (p *player) do(now time.Time, l *record.Line) (out any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("replay: %s cannot be decided: %v", l.Do, r)
		}
	}()
	return p.m.do(p.c, now, l.Do, l.In)
}

// set is the election's: vrrp.Set.
type set struct{ s *vrrp.Set }

func (m *set) begin(c *record.Codec, _ time.Time, config []byte) (err error) {
	var cfg vrrp.SetConfig
	if err := c.Decode(config, &cfg); err != nil {
		return err
	}
	m.s, err = vrrp.NewSet(cfg)
	return err
}

func (m *set) restore(c *record.Codec, state []byte) error {
	m.s = new(vrrp.Set)
	return c.Decode(state, m.s)
}

func (m *set) do(c *record.Codec, now time.Time, what string, in []byte) (any, error) {
	switch what {
	case "step":
		var i vrrp.SetInput
		if err := c.Decode(in, &i); err != nil {
			return nil, err
		}
		return m.s.Step(now, i), nil
	case "reconfigure":
		var cfg vrrp.SetConfig
		if err := c.Decode(in, &cfg); err != nil {
			return nil, err
		}
		return m.s.Reconfigure(now, cfg)
	}
	return nil, fmt.Errorf("replay: an election does not %q", what)
}

// core is the daemon's: appliance.Core.
type core struct{ c *appliance.Core }

func (m *core) begin(c *record.Codec, now time.Time, config []byte) error {
	var cfg appliance.Config
	if err := c.Decode(config, &cfg); err != nil {
		return err
	}
	m.c = appliance.NewCore(now, cfg)
	return nil
}

func (m *core) restore(c *record.Codec, state []byte) error {
	m.c = new(appliance.Core)
	return c.Decode(state, m.c)
}

func (m *core) do(c *record.Codec, now time.Time, what string, in []byte) (any, error) {
	if what != "step" {
		return nil, fmt.Errorf("replay: a daemon does not %q", what)
	}
	var held struct{ Event appliance.Event }
	if err := c.Decode(in, &held); err != nil {
		return nil, err
	}
	return m.c.Step(now, held.Event), nil
}
