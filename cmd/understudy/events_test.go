package main

import (
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		text string
		want time.Time
	}{
		{"2h", now.Add(-2 * time.Hour)},
		{"90s", now.Add(-90 * time.Second)},
		{"2026-02-28T03:00:00Z", time.Date(2026, 2, 28, 3, 0, 0, 0, time.UTC)},
		{"2026-02-28 03:12", time.Date(2026, 2, 28, 3, 12, 0, 0, time.UTC)},
		{"2026-02-28", time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)},
		{"03:12", time.Date(2026, 3, 1, 3, 12, 0, 0, time.UTC)},
		{"23:00", time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC)}, // yesterday's
	} {
		got, err := parseSince(row.text, now)
		if err != nil || !got.Equal(row.want) {
			t.Errorf("%s: %v, %v, want %v", row.text, got, err, row.want)
		}
	}
	for _, text := range []string{"yesterday", "-2h", "", "25:00"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
