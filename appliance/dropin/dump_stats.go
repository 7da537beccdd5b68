package dropin

import (
	"fmt"
	"io"
)

// WriteStats writes keepalived.stats.
func WriteStats(w io.Writer, v View) error {
	p := printer{w: w}
	for _, i := range v.Instances {
		s := i.Stats
		p.line("VRRP Instance: %s", i.Name)
		p.line("  Advertisements:")
		p.line("    Received: %d", s.Received)
		p.line("    Sent: %d", s.Sent)
		p.line("  Became master: %d", s.Became)
		p.line("  Released master: %d", s.Released)
		p.line("  Packet Errors:")
		p.line("    Length: %d", s.Length)
		p.line("    TTL: %d", s.TTL)
		p.line("    Invalid Type: %d", s.Type)
		p.line("    Advertisement Interval: %d", s.Interval)
		p.line("    Address List: %d", s.Addresses)
		p.line("  Authentication Errors:")
		p.line("    Invalid Type: %d", s.AuthType)
		p.line("    Type Mismatch: %d", s.AuthMismatch)
		p.line("    Failure: %d", s.AuthFailure)
		p.line("  Priority Zero:")
		p.line("    Received: %d", s.ZeroReceived)
		p.line("    Sent: %d", s.ZeroSent)
	}
	return p.err
}

// printer writes lines until one cannot be written.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
