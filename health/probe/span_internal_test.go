package probe

import (
	"regexp"
	"testing"
)

// A match begins in the span, and sees what is before it.
func TestSpan(t *testing.T) {
	until := func(n int) *int { return &n }
	for _, row := range []struct {
		expression string
		span       Span
		page       string
		want       bool
	}{
		{`ready`, Span{}, "not ready", true},
		{`ready`, Span{From: 4}, "not ready", true},
		{`ready`, Span{From: 5}, "not ready", false},
		{`ready`, Span{From: 5}, "ready, not ready", true},
		{`(?:ready|eady)`, Span{From: 5}, "not ready", true},
		{`r?eady`, Span{From: 5}, "not ready", true},
		{`ready`, Span{Until: until(4)}, "not ready", true},
		{`ready`, Span{Until: until(3)}, "not ready", false},
		{`(?i)READY|not`, Span{Until: until(0)}, "not ready", true},
		{`(?i)not|READY`, Span{From: 1, Until: until(4)}, "not ready", true},
		{`ready`, Span{From: 4, Until: until(4)}, "not ready", true},
		{`ready`, Span{From: 1, Until: until(3)}, "not ready", false},
		{`not .*`, Span{From: 1}, "not not ready\n", true},
		// What is before the span is there.
		{`^ready`, Span{From: 4}, "not ready", false},
		{`(?m)^ready`, Span{From: 4}, "not\nready", true},
		{`\bady`, Span{From: 6}, "not ready", false},
		{`\bready`, Span{From: 4}, "not ready", true},
		// … and what is no text.
		{`ready`, Span{From: 2}, "\xe2\x82ready", true},
		{`ready`, Span{From: 3}, "\xe2\x82\xacready", true},
		// The page's end.
		{`$`, Span{From: 5}, "ready", true},
		{`$`, Span{From: 6}, "ready", false},
		{`ready`, Span{From: 1 << 20}, "ready", false},
		{``, Span{From: 0, Until: until(0)}, "", true},
		{`(a)(b)`, Span{From: 2}, "abab", true},
	} {
		find, err := row.span.finder(regexp.MustCompile(row.expression))
		if err != nil {
			t.Fatal(err)
		}
		if got := find([]byte(row.page)); got != row.want {
			t.Errorf("%q%v of %q: %v, want %v", row.expression, row.span, row.page, got, row.want)
		}
	}
}
