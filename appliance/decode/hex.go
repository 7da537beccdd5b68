package decode

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Hex reads one frame as hexadecimal digits; white space and the separators
// ":", "-" and "." may stand anywhere between octets.
func Hex(text string) ([]byte, error) {
	digits := strings.Map(func(c rune) rune {
		if strings.ContainsRune(" \t\r\n:-.", c) {
			return -1
		}
		return c
	}, text)
	if digits == "" {
		return nil, errors.New("decode: no hexadecimal digits")
	}
	b, err := hex.DecodeString(digits)
	var bad hex.InvalidByteError
	switch {
	case errors.As(err, &bad):
		return nil, fmt.Errorf("decode: %q is not a hexadecimal digit", byte(bad))
	case err != nil:
		return nil, errors.New("decode: an odd number of hexadecimal digits")
	}
	return b, nil
}
