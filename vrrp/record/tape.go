package record

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Format is the version of the files. One that is not this is not replayed.
const Format = 1

// Options of a Tape. The sizes have defaults.
type Options struct {
	Dir     string // made if it is not there
	Machine string // "election", "daemon": what the files are of, and begin with
	Node    string
	Program string // its version
	Types   map[string]reflect.Type
	Logger  *slog.Logger

	FileSize int // bytes, after which another file begins: 16 MiB
	Files    int // of this machine that are kept, the youngest: 4
	Queue    int // lines that may wait for the disk: 4096
}

// Header is the first line of a file.
type Header struct {
	Understudy string    `json:"understudy"` // "recording"
	Format     int       `json:"format"`
	Machine    string    `json:"machine"`
	Program    string    `json:"program"`
	Node       string    `json:"node"`
	Start      time.Time `json:"start"` // of the run, by the clock on the wall
	Part       int       `json:"part"`
}

// Line is every other line. Exactly one of Config, State and Do is there.
type Line struct {
	T      int64           `json:"t"` // ns since the start
	Config json.RawMessage `json:"config,omitempty"`
	Lost   uint64          `json:"lost,omitempty"` // before State: so many steps are missing
	State  json.RawMessage `json:"state,omitempty"`
	Do     string          `json:"do,omitempty"`
	In     json.RawMessage `json:"in,omitempty"`
	Out    json.RawMessage `json:"out,omitempty"`
}

// Tape records one machine. Its methods are for the machine's own goroutine; they do not
// wait. A nil Tape records nothing.
type Tape struct {
	opt   Options
	codec Codec
	head  Header
	lines chan entry // of opt.Queue: what does not fit is lost, counted, and a state follows
	done  chan struct{}

	part int    // the present file
	size int    // of it, as far as it was sent
	lost uint64 // since the last line
	gone uint64 // all in all
	dead atomic.Bool
}

type entry struct {
	b    []byte
	part int // begins file so; 0: goes on
}

// Open starts a recording. Its files are not for everybody: they show the network.
func Open(opt Options) (*Tape, error) {
	t, f, err := openTape(opt)
	if err != nil {
		return nil, err
	}
	go t.write(f)
	return t, nil
}

// openTape makes a tape, and the first file, of which nobody writes anything yet.
func openTape(opt Options) (*Tape, *os.File, error) {
	for _, d := range []struct {
		v   *int
		def int
	}{{&opt.FileSize, 16 << 20}, {&opt.Files, 4}, {&opt.Queue, 4096}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("record: %w", err)
	}
	now := time.Now()
	t := &Tape{opt: opt, lines: make(chan entry, opt.Queue), done: make(chan struct{}), part: 1,
		codec: Codec{Base: now, Types: opt.Types, Hide: pseudonyms()},
		head:  Header{Understudy: "recording", Format: Format, Machine: opt.Machine, Program: opt.Program, Node: opt.Node, Start: now}}
	f, err := t.create(1)
	return t, f, err
}

// pseudonyms replaces passwords of at most eight bytes, equal ones by equal ones. The
// key of it is kept nowhere.
func pseudonyms() func(string) string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return func(s string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil))[:8]
	}
}

// Begin notes with what configuration the machine was made; first of all.
func (t *Tape) Begin(now time.Time, config any) {
	if t == nil {
		return
	}
	b, err := t.codec.EncodeValue(config)
	if err != nil {
		t.fail(err)
		return
	}
	t.send(Line{T: t.at(now), Config: b}, 0)
}

// Do notes what the machine was given, and what came out. machine, a pointer, is it as
// it is now, after that.
func (t *Tape) Do(now time.Time, what string, in, out, machine any) {
	switch {
	case t == nil || t.dead.Load():
	case t.lost > 0: // this one, too: nobody knows what it was given to
		t.missed()
		t.checkpoint(now, machine)
	case t.step(now, what, in, out) && t.size > t.opt.FileSize:
		t.checkpoint(now, machine)
	}
}

func (t *Tape) step(now time.Time, what string, in, out any) bool {
	i, err := t.codec.EncodeValue(in)
	var o []byte
	if err == nil {
		o, err = t.codec.EncodeValue(out)
	}
	if err != nil {
		t.fail(err)
		return false
	}
	if !t.send(Line{T: t.at(now), Do: what, In: i, Out: o}, 0) {
		t.missed()
		return false
	}
	return true
}

// checkpoint goes on with the machine's state: after a loss, and in a file of its own
// when this one is full.
func (t *Tape) checkpoint(now time.Time, machine any) {
	state, err := t.codec.Encode(machine)
	if err != nil {
		t.fail(err)
		return
	}
	part := 0
	if t.size > t.opt.FileSize {
		part = t.part + 1
	}
	if t.send(Line{T: t.at(now), Lost: t.lost, State: state}, part) {
		t.lost = 0
	}
}

// send does not wait; part begins a file.
func (t *Tape) send(l Line, part int) bool {
	b, err := json.Marshal(l)
	if err != nil {
		t.fail(err)
		return false
	}
	select {
	case t.lines <- entry{append(b, '\n'), part}:
	default:
		return false
	}
	if part > 0 {
		t.part, t.size = part, 0
	}
	t.size += len(b)
	return true
}

func (t *Tape) missed() {
	t.lost++
	t.gone++
}

// fail ends the recording: what cannot be encoded now cannot be later.
func (t *Tape) fail(err error) {
	if !t.dead.Swap(true) {
		t.opt.Logger.Error("the recording ends", "machine", t.opt.Machine, "error", err)
	}
}

func (t *Tape) at(now time.Time) int64 { return int64(now.Sub(t.codec.Base)) }

// Lost is how many steps did not fit into the queue.
func (t *Tape) Lost() uint64 {
	if t == nil {
		return 0
	}
	return t.gone
}

// Close writes what waits and ends the recording.
func (t *Tape) Close() {
	if t == nil {
		return
	}
	close(t.lines)
	<-t.done
}

// write is the one goroutine that touches the disk. It ends with Close, or with the
// process: what was sent is written at once.
func (t *Tape) write(f *os.File) {
	defer close(t.done)
	defer func() { f.Close() }()
	for e := range t.lines {
		if t.dead.Load() {
			continue
		}
		if e.part > 0 {
			f.Close()
			next, err := t.create(e.part)
			if err != nil {
				t.fail(err)
				continue
			}
			f = next
		}
		if _, err := f.Write(e.b); err != nil {
			t.fail(err)
		}
	}
}

// create begins a file, and removes the oldest ones.
func (t *Tape) create(part int) (*os.File, error) {
	head := t.head
	head.Part = part
	name := fmt.Sprintf("%s-%s-%04d.jsonl", t.opt.Machine, head.Start.UTC().Format("20060102T150405.000000"), part)
	f, err := os.OpenFile(filepath.Join(t.opt.Dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	b, err := json.Marshal(head)
	if err == nil {
		_, err = f.Write(append(b, '\n'))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("record: %w", err)
	}
	t.prune()
	return f, nil
}

func (t *Tape) prune() {
	names, err := filepath.Glob(filepath.Join(t.opt.Dir, t.opt.Machine+"-*.jsonl"))
	if err != nil || len(names) <= t.opt.Files {
		return
	}
	slices.SortFunc(names, strings.Compare) // by time of start, and part
	for _, old := range names[:len(names)-t.opt.Files] {
		_ = os.Remove(old)
	}
}
