package bench

import (
	"testing"
	"time"

	"understudy/appliance/lab/capture"
)

// Both programs give up in good order, each way and with each MAC, and what the
// report says of it is in the order in which it must have been on the wire.
func TestRunRelease(t *testing.T) {
	r, err := RunRelease(patient(t), ReleaseOptions{Beside: besideT(t).once()})
	if err != nil {
		t.Fatal(err)
	}
	want := []ReleaseRow{
		{Software: "understudy", MAC: "interface", Way: "stop"}, {Software: "keepalived", MAC: "interface", Way: "stop"}, {Software: "understudy", MAC: "interface", Way: "failover"},
		{Software: "understudy", MAC: "virtual", Way: "stop"}, {Software: "keepalived", MAC: "virtual", Way: "stop"}, {Software: "understudy", MAC: "virtual", Way: "failover"},
	}
	if len(r.Rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(r.Rows), len(want))
	}
	for i, w := range want {
		row := r.Rows[i]
		if row.Software != w.Software || row.MAC != w.MAC || row.Way != w.Way || len(row.Releases) != 1 || row.Lost.N != 1 {
			t.Errorf("row %d: want %s, %s MAC, %s; got %+v", i, w.Software, w.MAC, w.Way, row)
			continue
		}
		o := row.Releases[0]
		if o.ResignedMS <= 0 || o.AdvertMS <= o.ResignedMS || o.AnnouncedMS < o.AdvertMS || o.SilentMS <= 0 || o.Lost != len(o.OutMS)+len(o.InMS) {
			t.Errorf("row %d: got %+v", i, o)
		}
	}
}

// once is for what takes long.
func (b Beside) once() Beside {
	b.Runs = 1
	return b
}

func TestReleaseRowAllowsOneInTwenty(t *testing.T) {
	row := ReleaseRow{Releases: make([]Release, 20)}
	row.Releases[3] = Release{Lost: 7, Before: 2}
	if row.sum(); !row.Within || row.Clean != 19 || row.Before != 2 || row.Lost.Max != 7 {
		t.Errorf("one: got %+v", row)
	}
	row.Releases[4].Lost = 1
	if row.sum(); row.Within || row.Clean != 18 {
		t.Errorf("two: got %+v", row)
	}
}

func TestResignedIsTheFirstOfBothSides(t *testing.T) {
	sides := func(l, w []capture.Frame) []side {
		return []side{{name: "lan", frames: func() []capture.Frame { return l }}, {name: "wan", frames: func() []capture.Frame { return w }}}
	}
	const us = time.Microsecond
	got, err := resigned(sides(
		[]capture.Frame{at(-9*us, "gw1", advert(0)), at(3*us, "gw2", advert(0)), at(20*us, "gw1", advert(0))},
		[]capture.Frame{at(5*us, "gw1", advert(200)), at(11*us, "gw1", advert(0)), at(12*us, "gw1", advert(0))}), "gw1", noon)
	if err != nil || got != noon.Add(11*us) {
		t.Errorf("want 11 us, got %v, %v", got.Sub(noon), err)
	}
	if _, err := resigned(sides(nil, []capture.Frame{at(5*us, "gw1", advert(200))}), "gw1", noon); err == nil {
		t.Error("nobody resigned")
	}
}
