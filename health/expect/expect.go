// Package expect has the forms in which a file says what a server must answer:
// numbers, octets, digests, and the words of DNS. It is pure.
package expect

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Span is the numbers from First to Last.
type Span struct{ First, Last int }

// ParseSpan reads "200" or "200-299".
func ParseSpan(s string) (Span, error) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, err1 := strconv.Atoi(strings.TrimSpace(first))
	b, err2 := strconv.Atoi(strings.TrimSpace(last))
	if err1 != nil || err2 != nil || a < 0 || b < a {
		return Span{}, errors.New("no number, and no two with the lower one first")
	}
	return Span{a, b}, nil
}

// String is what ParseSpan reads.
func (s Span) String() string {
	if s.First == s.Last {
		return strconv.Itoa(s.First)
	}
	return fmt.Sprintf("%d-%d", s.First, s.Last)
}

// Hexadecimal is what octets begin with where text may stand.
const Hexadecimal = "hex:"

// Octets reads what is to be sent: text, or "hex:" and octets.
func Octets(s string) ([]byte, error) {
	digits, octets := strings.CutPrefix(s, Hexadecimal)
	if !octets {
		return []byte(s), nil
	}
	return unhex(digits)
}

func unhex(digits string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		return nil, errors.New("not pairs of hexadecimal digits")
	}
	return b, nil
}

// Pattern is what an answer must be like. The zero value is met by anything.
type Pattern struct {
	Text   []byte // must be in it
	Prefix []byte // it must begin with these octets
	Mask   []byte // of Prefix, as long: the bits that count
}

// ParsePattern reads what an answer must be like: text that must be in it, or
// "hex:" and the octets that it must begin with, in which X stands for any four
// bits.
func ParsePattern(s string) (Pattern, error) {
	digits, octets := strings.CutPrefix(s, Hexadecimal)
	if !octets {
		return Pattern{Text: []byte(s)}, nil
	}
	var p Pattern
	var err error
	if p.Prefix, err = unhex(strings.Map(func(r rune) rune {
		if r == 'X' || r == 'x' {
			return '0'
		}
		return r
	}, digits)); err != nil {
		return Pattern{}, err
	}
	p.Mask, _ = unhex(strings.Map(func(r rune) rune {
		switch r {
		case 'X', 'x':
			return '0'
		case ' ':
			return r
		}
		return 'f'
	}, digits))
	return p, nil
}

// In tells whether an answer is as it must be.
func (p Pattern) In(b []byte) bool {
	if len(b) < len(p.Prefix) {
		return false
	}
	for i := range p.Prefix {
		if b[i]&p.Mask[i] != p.Prefix[i] {
			return false
		}
	}
	return bytes.Contains(b, p.Text)
}

// Digest is the hash of a page. The zero value is none.
type Digest struct {
	Hash string // sha256 or md5
	Sum  string // in lower-case hexadecimal
}

// digestSizes are the lengths of sums, in hexadecimal digits.
var digestSizes = map[string]int{"sha256": 64, "md5": 32}

// ParseDigest reads "sha256:…" or "md5:…".
func ParseDigest(s string) (Digest, error) {
	hash, sum, _ := strings.Cut(s, ":")
	hash, sum = strings.ToLower(hash), strings.ToLower(sum)
	size, known := digestSizes[hash]
	if !known {
		return Digest{}, errors.New("neither sha256 nor md5")
	}
	if _, err := hex.DecodeString(sum); err != nil || len(sum) != size {
		return Digest{}, fmt.Errorf("%s has %d hexadecimal digits", hash, size)
	}
	return Digest{hash, sum}, nil
}

// String is what ParseDigest reads.
func (d Digest) String() string {
	if d == (Digest{}) {
		return ""
	}
	return d.Hash + ":" + d.Sum
}

// DNSTypes are the types of records that can be asked for (RFC 1035, 2782, 3596).
func DNSTypes() []string {
	return []string{"A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}
}

// DNSCodes are the codes of an answer that can be expected (RFC 1035 section 4.1.1).
func DNSCodes() []string {
	return []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}
}
