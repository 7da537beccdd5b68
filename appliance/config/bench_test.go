package config

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkParse is the whole way from text to what the daemon starts with, by
// the number of routers, each a group by itself.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		var text strings.Builder
		text.WriteString("node = \"gw1\"\n")
		for i := range n {
			fmt.Fprintf(&text, "[[router]]\nname = \"r%d\"\ninterface = \"lan%d\"\nvrid = %d\naddresses = [\"10.%d.1.%d/16\"]\n", i, i/250, i%250+1, i/250, i%250+1)
		}
		b.Run(fmt.Sprintf("routers=%d", n), func(b *testing.B) {
			for b.Loop() {
				c, err := Parse("bench.toml", []byte(text.String()), Options{})
				if err != nil {
					b.Fatal(err)
				}
				if got := len(c.NAT().Groups); got != n {
					b.Fatalf("%d groups", got)
				}
			}
		})
	}
}
