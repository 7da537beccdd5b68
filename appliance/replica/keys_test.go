package replica

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"testing"
)

func TestWhoMayTalk(t *testing.T) {
	one, two, three := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	ring := func(node string, peers []string, secrets ...[]byte) *keyring {
		var ps []Peer
		for _, p := range peers {
			ps = append(ps, Peer{Name: p})
		}
		k, err := newKeyring(node, secrets, ps)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	b, c := []string{"b"}, []string{"a", "c"}
	for _, tt := range []struct {
		name           string
		dialler, other *keyring
		want           error // the first refusal, of either end
	}{
		{"OK two peers with one secret", ring("a", b, one), ring("b", c, one), nil},
		{"OK the dialler has changed to the new secret first", ring("a", b, two, one), ring("b", c, one, two), nil},
		{"OK the other has changed first", ring("a", b, one, two), ring("b", c, two, one), nil},
		{"wrong secret", ring("a", b, one), ring("b", c, three), errKey},
		{"the new secret is not known yet", ring("a", b, two, one), ring("b", c, one), errKey},
		{"own name", ring("a", b, one), ring("a", b, one), errOwnName},
		{"a stranger with the secret", ring("x", b, one), ring("b", c, one), errStranger},
		{"another node than dialled", ring("a", []string{"b", "c"}, one), ring("c", c[:1], one), errNotHim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			result := make(chan error, 1)
			go func() {
				s := tls.Server(far, tt.other.config(""))
				err := s.Handshake()
				if err != nil {
					far.Close()
				}
				result <- err
			}()
			client := tls.Client(near, tt.dialler.config("b"))
			err := client.Handshake()
			if err == nil {
				// The dialler is through before the other end has judged it.
				go client.Write([]byte{0})
				go client.Read(make([]byte, 1))
			} else {
				near.Close()
			}
			err2 := <-result
			if tt.want == nil && (err != nil || err2 != nil) {
				t.Fatalf("refused: %v, %v", err, err2)
			}
			if tt.want != nil && !errors.Is(err, tt.want) && !errors.Is(err2, tt.want) {
				t.Fatalf("got %v and %v, want %v", err, err2, tt.want)
			}
			if tt.want == nil {
				if name, err := tt.dialler.verify(client.ConnectionState()); name != "b" || err != nil {
					t.Errorf("the other end is %q, %v", name, err)
				}
			}
		})
	}
}

func TestKeysDifferByNameAndSecret(t *testing.T) {
	a, _ := nodeKey(bytes.Repeat([]byte{1}, 32), "a")
	b, _ := nodeKey(bytes.Repeat([]byte{1}, 32), "b")
	c, _ := nodeKey(bytes.Repeat([]byte{2}, 32), "a")
	again, _ := nodeKey(bytes.Repeat([]byte{1}, 32), "a")
	if a.Equal(b) || a.Equal(c) || b.Equal(c) || !a.Equal(again) {
		t.Fatal("keys are not made of name and secret")
	}
}

func TestConfigIsChecked(t *testing.T) {
	ok := func() Config {
		return Config{Node: "a", Secrets: [][]byte{make([]byte, 32)}, Groups: []Group{{Name: "g"}}, Peers: []Peer{{Name: "b"}}}
	}
	for _, tt := range []struct {
		name  string
		wrong func(*Config)
	}{
		{"no node", func(c *Config) { c.Node = "" }},
		{"peer with the own name", func(c *Config) { c.Peers[0].Name = "a" }},
		{"peer twice", func(c *Config) { c.Peers = append(c.Peers, c.Peers[0]) }},
		{"too many peers", func(c *Config) {
			for i := range 8 {
				c.Peers = append(c.Peers, Peer{Name: string(rune('k' + i))})
			}
		}},
		{"no secret", func(c *Config) { c.Secrets = nil }},
		{"short secret", func(c *Config) { c.Secrets[0] = c.Secrets[0][1:] }},
		{"no group", func(c *Config) { c.Groups = nil }},
		{"renewed too late", func(c *Config) { c.Renew = c.Hold/2 + 1 }},
	} {
		c := ok()
		c.defaults()
		if err := c.check(); err != nil {
			t.Fatalf("OK: %v", err)
		}
		if tt.wrong(&c); c.check() == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}
