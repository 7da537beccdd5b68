package witness

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
)

// keyInfo separates these keys from whatever else is made of the secret.
const keyInfo = "understudy heartbeat, node key 1: "

// Key is what one node proves its heartbeats with. Each node has its own: with one key for all, a heartbeat could be
// sent back to where it came from.
type Key [sha256.Size]byte

// String keeps keys out of logs.
func (Key) String() string { return "(key)" }

// GoString keeps keys out of %#v.
func (Key) GoString() string { return "(key)" }

// NewKey derives a node's key from the cluster secret.
func NewKey(secret []byte, node string) (Key, error) {
	b, err := hkdf.Key(sha256.New, secret, nil, keyInfo+node, sha256.Size)
	if err != nil {
		return Key{}, fmt.Errorf("witness: key: %w", err)
	}
	return Key(b), nil
}

// codeSize is how much of the HMAC is sent: 128 bits, as IPsec does with SHA-256 (RFC 4868).
const codeSize = 16

// coder makes the codes of one key, without allocation.
type coder struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

func newCoder(k Key) *coder {
	c := &coder{mac: hmac.New(sha256.New, k[:])}
	c.of(nil) // what it sets up the first time
	return c
}

// of is the code of b, valid until the next call.
func (c *coder) of(b []byte) []byte {
	c.mac.Reset()
	c.mac.Write(b)
	return c.mac.Sum(c.sum[:0])[:codeSize]
}

// fits tells whether b ends with its code.
func (c *coder) fits(b []byte) bool {
	n := len(b) - codeSize
	return hmac.Equal(c.of(b[:n]), b[n:])
}
