package lacpnet

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/lacp"
)

func procFile(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/bond0.proc")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What the file says goes to the members that netlink has named, and nowhere else.
// States are netlink's.
func TestParseProc(t *testing.T) {
	state := lacp.State(0x3f)
	b := lacp.Bond{Mode: lacp.ModeLACP, Members: []lacp.Member{
		{Interface: "eth1", Actor: lacp.Info{State: state}},
		{Interface: "eth2"},
		{Interface: "eth3", Speed: 1},
	}}
	if err := parseProc(bytes.NewReader(procFile(t)), &b); err != nil {
		t.Fatal(err)
	}
	want := []lacp.Member{
		{Interface: "eth1", Speed: 10000, HasIdentities: true,
			Actor:   lacp.Info{SystemPriority: 65535, System: lacp.MAC{2, 0, 0, 0, 0, 1}, Key: 15, PortPriority: 255, Port: 1, State: state},
			Partner: lacp.Info{SystemPriority: 32768, System: lacp.MAC{0, 0x1c, 0x73, 0xaa, 0, 1}, Key: 17, PortPriority: 32767, Port: 12}},
		{Interface: "eth2"},
		{Interface: "eth3", Speed: 1},
	}
	if diff := cmp.Diff(want, b.Members); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Without the file, as for a team or before the driver is loaded, nothing is known.
func TestReadProcWithoutAFile(t *testing.T) {
	var b lacp.Bond
	if err := readProc(t.TempDir()+"/bond0", &b); err != nil {
		t.Error(err)
	}
}

func FuzzParseProc(f *testing.F) {
	f.Add(procFile(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		bond := lacp.Bond{Members: []lacp.Member{{Interface: "eth1"}, {Interface: "eth2"}}}
		_ = parseProc(bytes.NewReader(b), &bond) // an error is a line too long
		if len(bond.Members) != 2 {
			t.Error("members came or went")
		}
	})
}
