package guest

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
)

// sink stands in for test2json: each line it gets is an event of its own.
type sink struct {
	pkg    string
	events io.Writer
	rest   string
}

func (s *sink) Write(b []byte) (int, error) {
	s.rest += string(b)
	for {
		line, rest, ok := strings.Cut(s.rest, "\n")
		if !ok {
			return len(b), nil
		}
		s.rest = rest
		action, test, _ := strings.Cut(line, " ")
		if err := json.NewEncoder(s.events).Encode(Event{Action: action, Package: s.pkg, Test: test}); err != nil {
			return 0, err
		}
	}
}

func (s *sink) Close() error { return nil }

func TestRelay(t *testing.T) {
	const up = "\x1eguest up 6.1.0-1-amd64\n"
	for _, tt := range []struct {
		name, said string
		want       []string // "action package test"
		done       bool
	}{
		{"nothing at all", "", []string{"fail a", "fail b"}, false},
		{"both to the end",
			up + "\x1eguest begin a\nrun TestGuestOne\npass TestGuestOne\npass\n\x1eguest end a 0\n\x1eguest begin b\nrun TestGuestTwo\npass TestGuestTwo\npass\n\x1eguest end b 0\n\x1eguest done\n",
			[]string{"run a TestGuestOne", "pass a TestGuestOne", "pass a", "run b TestGuestTwo", "pass b TestGuestTwo", "pass b"}, true},
		{"a failure is told once",
			up + "\x1eguest begin a\nrun TestGuestOne\nfail TestGuestOne\nfail\n\x1eguest end a 1\n\x1eguest begin b\nrun TestGuestTwo\npass\n\x1eguest end b 0\n\x1eguest done\n",
			[]string{"run a TestGuestOne", "fail a TestGuestOne", "fail a", "run b TestGuestTwo", "pass b"}, true},
		{"a suite that says nothing of its death",
			up + "\x1eguest begin a\nrun TestGuestOne\noutput half a line\x1eguest end a 2\n\x1eguest begin b\nrun TestGuestTwo\npass\n\x1eguest end b 0\n\x1eguest done\n",
			[]string{"run a TestGuestOne", "fail a", "run b TestGuestTwo", "pass b"}, true},
		{"no test ran",
			up + "\x1eguest begin a\npass\n\x1eguest end a 0\n\x1eguest begin b\nrun TestGuestTwo\npass\n\x1eguest end b 0\n\x1eguest done\n",
			[]string{"pass a", "fail a", "run b TestGuestTwo", "pass b"}, true},
		{"the kernel dies in the middle",
			up + "\x1eguest begin a\nrun TestGuestOne\n",
			[]string{"run a TestGuestOne", "fail a", "fail b"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			l := &Relay{Out: &out, Packages: []string{"a", "b"}, Convert: func(pkg string, events io.Writer) (io.WriteCloser, error) {
				return &sink{pkg: pkg, events: events}, nil
			}}
			if err := l.Read(strings.NewReader(tt.said)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(out.String()) {
				var e Event
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if e.Action != "output" {
					got = append(got, strings.TrimSpace(e.Action+" "+e.Package+" "+e.Test))
				}
			}
			if !slices.Equal(got, tt.want) || l.Done() != tt.done {
				t.Errorf("got  %q, done %v\nwant %q, done %v", got, l.Done(), tt.want, tt.done)
			}
		})
	}
}

func TestClosure(t *testing.T) {
	deps, err := readDependencies(strings.NewReader("kernel/net/a/one.ko: kernel/lib/crc.ko kernel/net/tls/tls.ko\n" +
		"kernel/net/tls/tls.ko.xz: \nkernel/net/tls/tls.ko: kernel/lib/crc.ko\nkernel/lib/crc.ko:\nkernel/drivers/net/veth.ko.xz:\nkernel/net/b/two.ko:\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel/drivers/net/veth.ko.xz", "kernel/lib/crc.ko", "kernel/net/a/one.ko", "kernel/net/tls/tls.ko"}
	if got := deps.closure([]string{"kernel/net/a"}, []string{"veth"}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
