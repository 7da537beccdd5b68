package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
)

// SecretSize is the length of a cluster secret in bytes.
const SecretSize = 32

// Secret is the cluster secret: the first element is used, every element is
// accepted from others. There are two while it is being changed.
type Secret [][SecretSize]byte

// String keeps secrets out of logs.
func (s Secret) String() string { return fmt.Sprintf("(%d secret keys)", len(s)) }

// GoString keeps secrets out of %#v.
func (s Secret) GoString() string { return s.String() }

// NewSecret reads a secret from a source of random bytes and returns it as the
// line that [ParseSecret] reads.
func NewSecret(random io.Reader) (string, error) {
	var key [SecretSize]byte
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return "", fmt.Errorf("config: secret: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key[:]) + "\n", nil
}

// ErrSecretFormat says that a file is not a cluster secret. Whatever is wrong,
// the message does not show it: it may be most of a secret.
var ErrSecretFormat = errors.New("not a cluster secret: it must hold one line, or two while it is being changed, of 32 bytes in base64 each")

// ParseSecret reads the content of a secret file: one line of 32 bytes in
// base64 (44 characters), or two. Nothing else passes: a passphrase in there
// would make keys that can be guessed.
func ParseSecret(content []byte) (Secret, error) {
	lines := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
	if len(lines) > 2 {
		return nil, ErrSecretFormat
	}
	var s Secret
	for _, line := range lines {
		line = bytes.TrimSuffix(line, []byte("\r"))
		// base64 skips line ends inside; the length leaves no room for them.
		if len(line) != base64.StdEncoding.EncodedLen(SecretSize) || bytes.ContainsAny(line, "\r\n") {
			return nil, ErrSecretFormat
		}
		var key [SecretSize]byte
		buf := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
		n, err := base64.StdEncoding.Strict().Decode(buf, line)
		if err != nil || n != SecretSize {
			return nil, ErrSecretFormat
		}
		copy(key[:], buf)
		for _, other := range s {
			if other == key {
				return nil, ErrSecretFormat
			}
		}
		if key == ([SecretSize]byte{}) {
			return nil, ErrSecretFormat
		}
		s = append(s, key)
	}
	return s, nil
}

// ReadSecretFile reads a secret file and its mode, for [Options].
func ReadSecretFile(path string) ([]byte, os.FileMode, error) {
	return readFile(path, 4096)
}
