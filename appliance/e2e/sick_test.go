package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"understudy/appliance"
	"understudy/appliance/lab/pair"
)

// sickVar makes this test program a server at the address that is its value: of pages, and
// of names. While the file sickPage is there pages come with an error, while sickNames is
// there it knows no names.
const (
	sickVar   = "UNDERSTUDY_TEST_SICK"
	sickPage  = "/run/lab/sick-page"
	sickNames = "/run/lab/sick-names"
)

func init() {
	if at := os.Getenv(sickVar); at != "" {
		fmt.Fprintln(os.Stderr, serveSick(at))
		os.Exit(1)
	}
}

func serveSick(at string) error {
	names, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := names.ReadFrom(b)
			if err != nil {
				return
			}
			if answer, err := soaOrNot(b[:n], exists(sickNames)); err == nil {
				_, _ = names.WriteTo(answer, from)
			}
		}
	}()
	return http.ListenAndServe(at, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if exists(sickPage) {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// soaOrNot answers a question for a zone with its SOA, or with SERVFAIL.
func soaOrNot(question []byte, fail bool) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, errors.Join(err, errors.New("no question"))
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	if fail {
		m.RCode = dnsmessage.RCodeServerFailure
		return m.Pack()
	}
	m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeSOA, Class: q.Class, TTL: 60},
		Body: &dnsmessage.SOAResource{NS: q.Name, MBox: q.Name, Serial: 1}}}
	return m.Pack()
}

// A server that is half dead is found out by who asks for what clients ask for: its port is
// open, and it has errors for pages, no names, or is stopped. An open port alone says
// nothing of that.
func TestHalfDeadServerIsFoundOut(t *testing.T) {
	const at = "203.0.113.254:8080"
	check := func(name, more string) string {
		return "[[check]]\nname = \"" + name + "\"\nevery = \"100ms\"\ntimeout = \"1s\"\n" + more + "\n"
	}
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true, RouterKeys: `track = ["check:server:-50"]`, Extra: check("port", `kind = "tcp"
target = "`+at+`"`) + check("page", `kind = "http"
target = "`+at+`"`) + check("names", `kind = "dns"
target = "`+at+`"`) + "[[check]]\nname = \"server\"\nkind = \"all\"\nchecks = [\"port\", \"page\", \"names\"]\n"})
	self, err := os.Executable()
	s.must(err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), sickVar+"="+at)
	s.must(s.Outside.WriteFile("/run/lab/here", nil, 0o644)) // the directory
	_, err = s.Outside.StartWith(cmd)
	s.must(err)
	s.must(s.gw1.Start())
	s.wait("gw1 active", s.gw1.Is("active"))

	// is says which of the three are down, and what follows from any.
	is := func(what string, down ...string) {
		t.Helper()
		want := map[string]string{"port": "up", "page": "up", "names": "up", "server": "up"}
		for _, name := range down {
			want[name], want["server"] = "down", "down"
		}
		var conditions []func(context.Context) error
		for name, state := range want {
			conditions = append(conditions, checkIs(s.gw1, name, state))
		}
		s.wait(what, all(conditions...))
		s.wait(what+": the priority", func(context.Context) error {
			if len(down) > 0 {
				return effective(s.status(s.gw1), 150, "check server down (-50)")
			}
			return effective(s.status(s.gw1), 200, "")
		})
	}
	is("all to be well")
	s.must(s.Outside.WriteFile(sickPage, nil, 0o644))
	is("errors for pages", "page")
	s.wait("what came", lastError(s.gw1, "page", "500"))
	s.unlink(s.Outside, sickPage)
	is("pages again")
	s.must(s.Outside.WriteFile(sickNames, nil, 0o644))
	is("no names", "names")
	s.wait("what came", all(lastError(s.gw1, "names", "SERVFAIL"), alarmed(s.gw1, appliance.AlarmCheckDown)))
	s.unlink(s.Outside, sickNames)
	is("names again")
	s.must(s.Outside.Freeze())
	is("a server that is stopped", "page", "names")
	s.wait("what came", all(lastError(s.gw1, "page", "no answer in 1s"), lastError(s.gw1, "names", "no answer in 1s")))
	s.stays("its port is open", 500*time.Millisecond, checkIs(s.gw1, "port", "up"))
	s.must(s.Outside.Thaw())
	is("it goes on")
}
