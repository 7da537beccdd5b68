package appliance

import (
	"fmt"
	"io"
)

func (j *JournalStatus) writeText(t io.Writer) {
	if j == nil || j.State == "off" {
		return
	}
	text := j.State
	if j.State == "failing" {
		text += ": " + j.LastError
	}
	if j.Bytes > 0 {
		text += fmt.Sprintf(", %s on disk", bytesText(j.Bytes))
	}
	if j.Outcome != "" {
		text += "; at the start: " + j.Outcome
	}
	fmt.Fprintf(t, "journal\t%s\n", text)
}

// bytesText keeps three digits.
func bytesText(n int64) string {
	v, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1000 {
			break
		}
		v, unit = v/1024, next
	}
	if unit == "B" || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
