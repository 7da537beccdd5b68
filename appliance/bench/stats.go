package bench

import (
	"math"
	"slices"
	"time"
)

// Summary is the essence of several measurements of one thing. With an even
// number of them the median is the mean of the middle two; with none all is 0.
type Summary struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func summarize(v []float64) Summary {
	if len(v) == 0 {
		return Summary{}
	}
	s := sorted(v)
	mid := len(s) / 2
	median := s[mid]
	if len(s)%2 == 0 {
		median = (s[mid-1] + s[mid]) / 2
	}
	return Summary{N: len(s), Min: s[0], Median: round(median), Max: s[len(s)-1]}
}

func sorted(v []float64) []float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s
}

// collect summarizes one figure of each of several results.
func collect[T any](all []T, figure func(T) float64) Summary {
	v := make([]float64, len(all))
	for i := range all {
		v[i] = figure(all[i])
	}
	return summarize(v)
}

// ratio is a/b, and 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return math.Round(100*a/b) / 100
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return round(float64(d) / 1e6) }

func round(v float64) float64 { return math.Round(v*1e3) / 1e3 }
