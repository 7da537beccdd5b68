package dropin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where dumps go. Of 2.2.7 the name with the instance is measured, that of the counters has none.
func TestDumpsPath(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, tt := range []struct {
		dumps             Dumps
		data, stats, json string
	}{
		{Dumps{}, tmp + "/keepalived.data", tmp + "/keepalived.stats", tmp + "/keepalived.json"},
		{Dumps{Instance: "foo"}, tmp + "/keepalived.foo.data", tmp + "/keepalived.stats", tmp + "/keepalived.json"},
		{Dumps{Namespace: "inner_"}, tmp + "/keepalived.inner_.data", tmp + "/keepalived.stats", tmp + "/keepalived.json"},
		{Dumps{Namespace: "inner", Instance: "foo"}, tmp + "/keepalived.inner_foo.data", tmp + "/keepalived.stats", tmp + "/keepalived.json"},
		{Dumps{State: "/run/ka.state", Stats: "/run/", JSON: "ka.js", Instance: "foo"}, "/run/ka.foo.state", "/run/keepalived.stats", tmp + "/ka.js"},
		{Dumps{State: "/run/ka/", Stats: "up/ka.stats", JSON: "../ka.js"}, "/run/ka/keepalived.data", tmp + "/ka.stats", tmp + "/ka.js"},
		{Dumps{State: "state", Instance: "foo"}, tmp + "/state.foo", tmp + "/keepalived.stats", tmp + "/keepalived.json"},
	} {
		for request, want := range map[string]string{RequestData: tt.data, RequestStats: tt.stats, RequestJSON: tt.json} {
			if got := tt.dumps.Path(request); got != want {
				t.Errorf("%+v: %s goes to %s, want %s", tt.dumps, request, got, want)
			}
		}
	}
}

// It is written where it is to be, as it is to be.
func TestDumpsWrite(t *testing.T) {
	dir := t.TempDir()
	for version, first := range map[int]string{0: "[", 1: "[", 2: `{"vrrp":[`} {
		d := Dumps{JSON: filepath.Join(dir, "ka.js"), Umask: -1, JSONVersion: version}
		path, err := d.Write(RequestJSON, sample())
		if err != nil || path != d.JSON {
			t.Fatal(path, err)
		}
		b, err := os.ReadFile(d.JSON)
		if err != nil || !strings.HasPrefix(string(b), first) || !json.Valid(b) {
			t.Errorf("version %d: %q, %v", version, b[:20], err)
		}
	}
	if _, err := (Dumps{Stats: filepath.Join(dir, "none", "s")}).Write(RequestStats, sample()); err == nil {
		t.Error("written into a directory that is not there")
	}
}
