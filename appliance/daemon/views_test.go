package daemon

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"understudy/appliance"
)

// TestViewsThereAndBack: what a peer shows of us is what we show of us, but for flows,
// which are nobody else's affair.
func TestViewsThereAndBack(t *testing.T) {
	s := appliance.NewStatus()
	s.Node = "gw1"
	s.Sessions = &appliance.SessionsStatus{Local: 7, LastTakeover: &appliance.TakeoverStatus{Group: "g", Lost: []appliance.LostFlow{{Why: "secret"}}}}
	b, err := packView(s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Sessions.LastTakeover.Lost[0].Why != "secret" {
		t.Error("the status itself was changed")
	}
	text, err := unpackView("gw1", b)
	if err != nil {
		t.Fatal(err)
	}
	var got appliance.Status
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Sessions.Local != 7 || got.Sessions.LastTakeover.Group != "g" || strings.Contains(string(text), "secret") {
		t.Errorf("%s", text)
	}
	if _, err := unpackView("gw2", b); err == nil {
		t.Error("taken for another's")
	}
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestViewsOfOtherVersions: what is missing is there and empty, what is unknown is left
// out, and what is none, or too much, is refused.
func TestViewsOfOtherVersions(t *testing.T) {
	text, err := unpackView("gw1", packed(t, `{"node":"gw1","routers":[{"name":"lan","addresses":null,"news":1}],"checks":null,"sessions":{"peers":null},"new":{"x":"<script>"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, null := range []string{`"addresses":null`, `"checks":null`, `"peers":null`, `"alarms":null`, "script", "news"} {
		if strings.Contains(string(text), null) {
			t.Errorf("%s in %s", null, text)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "not packed": []byte(`{"node":"gw1"}`), "not a status": packed(t, `["gw1"]`), "cut": packed(t, `{"node":"gw1"}`)[:4],
	} {
		if _, err := unpackView("gw1", b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// A little that unpacks to much costs no more than its bound.
	if _, err := unpackView("gw1", packed(t, `{"node":"gw1","x":"`+strings.Repeat("x", 2*viewBytes)+`"}`)); !errors.Is(err, errLarge) {
		t.Errorf("%v", err)
	}
	large := appliance.NewStatus()
	for i := range 8000 {
		large.Checks = append(large.Checks, appliance.CheckStatus{Name: fmt.Sprint(i, rand.Uint64()), LastError: fmt.Sprint(rand.Uint64(), rand.Uint64(), rand.Uint64())})
	}
	if _, err := packView(large); !errors.Is(err, errLarge) {
		t.Errorf("%v", err)
	}
}
