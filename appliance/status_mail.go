package appliance

import (
	"fmt"
	"io"
	"time"
)

// MailStatus is what has become of alerts by mail, since the daemon began.
type MailStatus struct {
	Server  string   `json:"server"`
	To      []string `json:"to"`
	Sent    uint64   `json:"sent"`
	Failed  uint64   `json:"failed"`  // refused, or tried for too long
	Dropped uint64   `json:"dropped"` // made way for newer ones
	Waiting int      `json:"waiting"`
	// Error is why the last one failed, or is still being tried; empty since one was sent.
	Error    string     `json:"error,omitempty"`
	FailedAt *time.Time `json:"failed_at,omitempty"`
}

func (m *MailStatus) writeText(t io.Writer) {
	if m != nil {
		fmt.Fprintf(t, "\nMAIL\t%s\t%d sent, %d failed, %d dropped, %d waiting\t%s\n", m.Server, m.Sent, m.Failed, m.Dropped, m.Waiting, dash(m.Error))
	}
}
