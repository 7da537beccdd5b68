package bench

import (
	"bytes"
	"os"
	"slices"
	"testing"
)

func TestTextOfTransport(t *testing.T) {
	r := &TransportReport{Machine: somewhere, Deaths: 3,
		Stalls: []StallRow{{Mode: "lazy", Connections: 1000, Asked: askedBefore, N: 1499, Min: 3.5, Median: 140.25, P90: 190, Max: 240, Lost: 1}, {Mode: "lazy", Connections: 1, Asked: askedAfter, N: 1, Min: 9, Median: 9, P90: 9, Max: 9}},
		Packets: []PacketRow{{Mode: "none", From: "client", NS: Summary{15, 1200, 1250, 1400}, Ratio: 1},
			{Mode: "lazy", Protected: true, From: "server", NS: Summary{15, 1800, 1850, 2400}, Ratio: 1.5, DaemonNS: Summary{15, 600, 700, 900}}},
		Memory: []MovingMemory{{"none", 50000, 0.2}, {"lazy", 50000, 151.25}}}
	var got bytes.Buffer
	if err := r.WriteText(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/transport.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Errorf("want\n%s\ngot\n%s", want, got.Bytes())
	}
}

// When nobody asked, there is no row; when all who asked were lost, there is one.
func TestRowsOfStalls(t *testing.T) {
	alone := &stalls{took: map[string][]float64{askedBefore: {7}}}
	want := []StallRow{{Mode: "lazy", Connections: 1, Asked: askedBefore, N: 1, Min: 7, Median: 7, P90: 7, Max: 7}}
	if got := alone.rows("lazy", 1); !slices.Equal(got, want) {
		t.Errorf("one client: %+v, want %+v", got, want)
	}
	lost := &stalls{took: map[string][]float64{askedBefore: {3, 1, 2}}, lost: map[string]int{askedAfter: 1}, wrong: map[string]int{askedBefore: 2}}
	want = []StallRow{{Mode: "warm", Connections: 6, Asked: askedBefore, N: 3, Min: 1, Median: 2, P90: 3, Max: 3, Wrong: 2}, {Mode: "warm", Connections: 6, Asked: askedAfter, Lost: 1}}
	if got := lost.rows("warm", 6); !slices.Equal(got, want) {
		t.Errorf("one is lost: %+v, want %+v", got, want)
	}
}

// Little of everything: the beds work, nobody is lost, and the program is told of what
// protected servers say, and of nothing else.
func TestRunTransport(t *testing.T) {
	r, err := RunTransport(t.Context(), TransportOptions{Binary: built(t), Connections: []int{10}, Deaths: 1, Rounds: 2, Held: 500, segments: 64, together: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Stalls) != 2*len(transportModes) || len(r.Packets) != 6*len(transportModes) {
		t.Fatalf("%+v", r)
	}
	for _, row := range r.Stalls {
		if row.N != 5 || row.Lost+row.Wrong != 0 || row.Min <= 0 {
			t.Errorf("%+v", row)
		}
	}
	for _, row := range r.Packets {
		if row.NS.N != 2 || row.NS.Min <= 0 || row.Ratio <= 0 {
			t.Errorf("%+v", row)
		}
	}
}
