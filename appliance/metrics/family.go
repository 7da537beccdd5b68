package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"understudy/appliance"
)

// family is one metric: how it is called, and its samples in a status.
type family struct {
	name, help string
	counter    bool
	labels     []string
	each       func(s *appliance.Status, emit emit)
}

// emit takes one sample, with a value for each label of the family.
type emit func(v float64, labels ...string)

func (f *family) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.name, f.help, f.labels, nil)
}

func (f *family) kind() prometheus.ValueType {
	if f.counter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// states emits one sample for each of the states, 1 for the one that it is. One that
// is not in the list is there too, so that nothing is hidden.
func states(emit emit, is string, all []string, labels ...string) {
	for _, s := range all {
		emit(number(s == is), append(slices.Clone(labels), s)...)
	}
	if !slices.Contains(all, is) {
		emit(1, append(slices.Clone(labels), is)...)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// counts emits one sample for each key.
func counts(emit emit, m map[string]uint64, labels ...string) {
	for k, v := range m {
		emit(float64(v), append(slices.Clone(labels), k)...)
	}
}
