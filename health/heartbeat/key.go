package heartbeat

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// keyInfo separates these keys from whatever else is made of a secret.
const keyInfo = "understudy server heartbeat, key 1: "

// codeSize is how much of the HMAC is sent: 128 bits, as IPsec does with SHA-256
// (RFC 4868).
const codeSize = 16

// Key is what proves the messages of one server.
type Key [sha256.Size]byte

// String keeps keys out of logs.
func (Key) String() string { return "(key)" }

// GoString keeps keys out of %#v.
func (Key) GoString() string { return "(key)" }

// NewKey derives the key of a server from a secret.
func NewKey(secret []byte, server string) (Key, error) {
	b, err := hkdf.Key(sha256.New, secret, nil, keyInfo+server, sha256.Size)
	if err != nil {
		return Key{}, fmt.Errorf("heartbeat: key: %w", err)
	}
	return Key(b), nil
}

// code is what proves b.
func (k Key) code(b []byte) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write(b)
	return mac.Sum(nil)[:codeSize]
}

// Fits tells whether the packet ends with its code.
func (k Key) Fits(packet []byte) bool {
	n := len(packet) - codeSize
	return n > 0 && hmac.Equal(k.code(packet[:n]), packet[n:])
}
