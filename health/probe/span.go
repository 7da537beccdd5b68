package probe

import (
	"fmt"
	"regexp"
)

// Span is where in a page a match of an expression may begin, in octets from the page's
// first one, which is 0. The zero value is anywhere.
type Span struct {
	From  int
	Until *int // the last one; nil: that of the page
}

// String is the span as it stands behind what was looked for; "" for anywhere.
func (s Span) String() string {
	switch {
	case s.Until != nil:
		return fmt.Sprintf(" in octets %d to %d", s.From, *s.Until)
	case s.From > 0:
		return fmt.Sprintf(" from octet %d on", s.From)
	}
	return ""
}

// finder returns what tells whether a match begins in the span. What is before the span
// is there for the expression all the same: ^ does not match at its beginning, and \b
// does if the octet before it is no part of a word. Without an expression it is nil.
func (s Span) finder(e *regexp.Regexp) (func(page []byte) bool, error) {
	switch {
	case e == nil:
		return nil, nil
	case s.From == 0 && s.Until == nil:
		return e.Match, nil
	case s.From == 0:
		return func(page []byte) bool {
			at := e.FindIndex(page)
			return at != nil && at[0] <= *s.Until
		}, nil
	}
	// The one octet before the span is all of it that an expression can see.
	behind, err := regexp.Compile(`\A(?s:.+?)(` + e.String() + `)`)
	if err != nil {
		return nil, err
	}
	return func(page []byte) bool {
		if len(page) < s.From {
			return false
		}
		at := behind.FindSubmatchIndex(page[s.From-1:])
		return at != nil && (s.Until == nil || at[2]+s.From-1 <= *s.Until)
	}, nil
}
