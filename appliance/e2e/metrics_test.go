package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// scraped asks the gateway for its metrics at an address of its own, with a token or
// without.
func scraped(ctx context.Context, g *pair.Gateway, at, token string) (code int, text string, err error) {
	err = g.Do(func() error {
		// The dialling is this thread's, which is in the gateway's namespace.
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		r, err := http.NewRequest(http.MethodGet, "http://"+at+"/metrics", nil)
		if err != nil {
			return err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if err := r.Write(c); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		code, text = resp.StatusCode, string(b)
		return err
	})
	return code, text, err
}

// shows is a condition: the gateway's metrics have all of these lines.
func shows(g *pair.Gateway, at string, lines ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		code, text, err := scraped(ctx, g, at, "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%d: %s", code, text)
		}
		if err != nil {
			return err
		}
		for _, l := range lines {
			if !strings.Contains(text, l+"\n") {
				return errors.New("no " + l)
			}
		}
		return nil
	}
}

// Both gateways are scraped, before and after a crash; what is shown is where the file
// says, also after a reload, and to who knows the token only if there is one.
func TestMetrics(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 10)
	const usual, other = "127.0.0.1:7790", "127.0.0.1:9999"
	s.wait("gw1's metrics", shows(s.gw1, usual, `understudy_group_state{group="gateway",state="active"} 1`,
		`understudy_router_state{family="ipv4",router="lan",state="active"} 1`, `understudy_sessions_peer_connected{peer="gw2"} 1`, `understudy_sessions_in_sync 1`))
	s.wait("gw2's metrics", shows(s.gw2, usual, `understudy_group_state{group="gateway",state="active"} 0`,
		`understudy_group_state{group="gateway",state="backup"} 1`))

	token := s.ok(s.gw2, "keygen")
	s.must(s.gw2.WriteFile("/run/lab/token", []byte(token), 0o600))
	s.must(s.gw2.WriteFile(configPath, []byte(s.gw2.Config()+"\n[web]\nlisten = \""+other+"\"\ntoken_file = \"/run/lab/token\"\n"), 0o644))
	s.ok(s.gw2, "reload")
	s.wait("the token to be asked for", func(ctx context.Context) error {
		code, text, err := scraped(ctx, s.gw2, other, "")
		if err == nil && code != http.StatusUnauthorized {
			err = fmt.Errorf("%d: %s", code, text)
		}
		return err
	})
	if code, text, err := scraped(t.Context(), s.gw2, other, strings.TrimSpace(token)); err != nil || code != http.StatusOK || !strings.Contains(text, "understudy_info") {
		t.Errorf("with the token: %d, %v: %s", code, err, text)
	}
	s.wait("nobody to listen where it did", func(ctx context.Context) error {
		if _, _, err := scraped(ctx, s.gw2, usual, ""); err == nil {
			return errors.New("somebody does")
		}
		return nil
	})
	s.must(s.gw2.WriteFile(configPath, []byte(s.gw2.Config()), 0o644))
	s.ok(s.gw2, "reload")

	cut := s.crash(s.gw1)
	s.intact(cut)
	s.wait("gw2's metrics after the takeover", shows(s.gw2, usual, `understudy_group_state{group="gateway",state="active"} 1`,
		`understudy_takeover_phase_seconds_count{phase="all"} 1`))
	s.whole()
}
