package keepalived

import "testing"

// TestDumpFiles: what global_defs says of the files that signals have written, and how -t ends.
func TestDumpFiles(t *testing.T) {
	for text, want := range map[string]struct {
		state, stats, json string
		version            int
		instance           bool
		code               int
	}{
		"state_dump_file /run/a\nstats_dump_file b\njson_dump_file /run/\njson_version 2\ndata_use_instance": {"/run/a", "b", "/run/", 2, true, 0},
		"data_use_instance off":   {},
		"data_use_instance maybe": {code: 5},
		"state_dump_file":         {code: 5},
		"stats_dump_file \"\"":    {code: 5},
		"json_dump_file a b":      {code: 5},
		"json_version 3":          {code: 5},
		"json_version 1":          {version: 1},
	} {
		src := []byte("global_defs {\n" + text + "\n}\n")
		f, said := Parse("x.conf", src, Elsewhere())
		g := f.Global
		if g.StateFile.V != want.state || g.StatsFile.V != want.stats || g.JSONFile.V != want.json || g.JSONVersion.V != want.version || g.DataOfInstance.V != want.instance {
			t.Errorf("%q: %+v", text, g)
		}
		if code := ExitCode(said); code != want.code {
			t.Errorf("%q: %d, want %d: %v", text, code, want.code, said)
		}
	}
}
