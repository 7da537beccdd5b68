package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// An advert of VRID 53, priority 200, 1 s, for 10.0.1.8, from 10.0.1.1.
	advertHex = "01005e00001200005e000135080045c0002000010000ff70cf990a000101e00000123135c8010064fb5c0a000108" + "0000000000000000000000000000"
	// The same with TTL 254.
	badTTLHex = "01005e00001200005e000135080045c0002000010000fe70d0990a000101e00000123135c8010064fb5c0a000108" + "0000000000000000000000000000"

	decodeConfig = `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 53
advertise = "200ms"
addresses = ["10.0.1.8/24"]
[[router]]
name = "wan"
interface = "wan0"
vrid = 54
addresses = ["203.0.113.1/24"]
[sessions]
listen = "10.255.0.1:7788"
peers = [{ name = "gw2", address = "10.255.0.2:7788" }]
secret_file = "/nowhere/secret"
`
)

// runDecode runs the command in this process.
func runDecode(stdin string, args ...string) (code int, stdout string, err error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"decode"}, args...))
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	err = root.Execute()
	if err != nil {
		wrong := &codeError{code: exitFailed}
		errors.As(err, &wrong)
		code = wrong.code
	}
	return code, out.String(), err
}

// little is a pcap file of the frames, with microseconds in little-endian order.
func little(t *testing.T, frames ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString("d4c3b2a1020004000000000000000000ffff000001000000")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		frame, err := hex.DecodeString(f)
		if err != nil {
			t.Fatal(err)
		}
		n := byte(len(frame))
		b = append(append(b, 0, 0, 0, 0, 0, 0, 0, 0, n, 0, 0, 0, n, 0, 0, 0), frame...)
	}
	return b
}

// However a frame comes in, it is judged the same; a verdict is not an exit code.
func TestDecodeInputs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lan0.pcap")
	recording := little(t, advertHex, badTTLHex)
	if err := os.WriteFile(file, recording, 0o644); err != nil {
		t.Fatal(err)
	}
	lines := filepath.Join(dir, "frames.hex")
	if err := os.WriteFile(lines, []byte(advertHex+"\n"+badTTLHex+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stdin, arg string
		want             []string
	}{
		{"recording", "", file, []string{"1 vrrp valid: ", "2 vrrp INVALID ttl: "}},
		{"hexadecimal file", "", lines, []string{"1 vrrp valid: ", "2 vrrp INVALID ttl: "}},
		{"recording on standard input", string(recording), "-", []string{"1 vrrp valid: ", "2 vrrp INVALID ttl: "}},
		{"lines on standard input", advertHex + "\n# nothing\n" + badTTLHex, "-", []string{"1 vrrp valid: ", "2 vrrp INVALID ttl: "}},
		{"argument", "", badTTLHex, []string{"1 vrrp INVALID ttl: "}},
		{"argument of several lines", "", badTTLHex[:20] + "\n" + badTTLHex[20:30] + ":" + badTTLHex[30:], []string{"1 vrrp INVALID ttl: "}},
		{"recording without frames", string(little(t)), "-", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, err := runDecode(c.stdin, c.arg)
			got := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if out == "" {
				got = nil
			}
			if code != 0 || err != nil || len(got) != len(c.want) {
				t.Fatalf("exit code %d, %v:\n%s", code, err, out)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("line %d: %s\nwant %s…", i+1, got[i], want)
				}
			}
		})
	}
}

func TestDecodeJSONAndVerbose(t *testing.T) {
	code, out, err := runDecode(advertHex+"\n"+badTTLHex, "--json", "-")
	if code != 0 || err != nil {
		t.Fatal(code, err)
	}
	d := json.NewDecoder(strings.NewReader(out))
	for n := 1; n <= 2; n++ {
		var o struct {
			N     int
			Valid bool
		}
		if err := d.Decode(&o); err != nil || o.N != n || o.Valid != (n == 1) {
			t.Errorf("object %d: %+v, %v", n, o, err)
		}
	}
	if strings.Count(out, "\n") != 2 {
		t.Errorf("not one object a line:\n%s", out)
	}
	if _, out, _ = runDecode("", "--verbose", advertHex); !strings.Contains(out, "\n    vrid 53\n") {
		t.Error(out)
	}
}

// The configuration judges, and its cluster secret is not needed for that.
func TestDecodeWithConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gw1.toml")
	if err := os.WriteFile(file, []byte(decodeConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ iface, want string }{
		{"lan0", "interval 1s, configured is 200ms: accepted"},
		{"wan0", "INVALID vrid: vrid 53 is not configured on wan0"},
	} {
		code, out, err := runDecode("", "--config", file, "--interface", c.iface, advertHex)
		if code != 0 || err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, %v: %s", c.iface, code, err, out)
		}
	}
}

// A router of both families is two: each is held against what is of its family.
func TestDecodeWithConfigurationOfBothFamilies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gw1.toml")
	text := "node=\"a\"\n[[router]]\nname=\"r\"\ninterface=\"lan0\"\nvrid=7\nadvertise=\"100ms\"\naddresses=[\"10.0.0.1/24\", %q]\n"
	// VRID 7 over IPv6, 100 ms, fe80::7.
	const frame = "33330000001200005e00020786dd" + "6c000000001870fffe80000000000000000000fffe000001ff020000000000000000000000000012" +
		"31077801000a5b46fe800000000000000000000000000007"
	for address, want := range map[string]string{"fe80::7/64": "", "fe80::8/64": "address"} {
		if err := os.WriteFile(file, fmt.Appendf(nil, text, address), 0o644); err != nil {
			t.Fatal(err)
		}
		code, out, err := runDecode("", "--config", file, "--interface", "lan0", frame)
		if code != 0 || err != nil || strings.Contains(out, "INVALID") || !strings.Contains(out, "fe80::7") || strings.Contains(out, "configured") != (want != "") {
			t.Errorf("%s: exit code %d, %v: %s", address, code, err, out)
		}
	}
}

func TestDecodeRefusals(t *testing.T) {
	dir := t.TempDir()
	good, broken := filepath.Join(dir, "good.toml"), filepath.Join(dir, "broken.toml")
	for file, text := range map[string]string{good: decodeConfig, broken: "node = 1"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cut := string(little(t, advertHex, badTTLHex))
	cut = cut[:len(cut)-1]
	for _, c := range []struct {
		name, stdin, says string
		args              []string
		lines             int // judged before that
	}{
		{"no argument", "", "accepts 1 arg", nil, 0},
		{"no such file", "", "no such file, and not a frame", []string{"nowhere.pcap"}, 0},
		{"an odd digit", "", "an odd number", []string{"018"}, 0},
		{"a directory", "", "is a directory", []string{dir}, 0},
		{"nothing on standard input", "", "empty", []string{"-"}, 0},
		{"a recording cut in a frame", cut, "after frame 1: the file ends", []string{"-"}, 1},
		{"--config alone", "", "go together", []string{"--config", good, advertHex}, 0},
		{"--interface alone", "", "go together", []string{"--interface", "lan0", advertHex}, 0},
		{"an interface without router", "", "it has some on lan0, wan0", []string{"--config", good, "--interface", "x0", advertHex}, 0},
		{"a broken configuration", "", "broken.toml", []string{"--config", broken, "--interface", "lan0", advertHex}, 0},
		{"a configuration that is not there", "", "no such file", []string{"--config", dir + "/x", "--interface", "lan0", advertHex}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, err := runDecode(c.stdin, c.args...)
			if code != exitUsage || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("exit code %d, %v; want %d, %q", code, err, exitUsage, c.says)
			}
			if strings.Count(out, "\n") != c.lines {
				t.Errorf("printed\n%s", out)
			}
		})
	}
}

// What has come is shown before more is waited for.
func TestDecodeDoesNotHoldBack(t *testing.T) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"decode", "-"})
	root.SetOut(&out)
	reads := 0
	root.SetIn(readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 1 {
			return copy(p, advertHex+"\n"), nil
		}
		if !strings.HasPrefix(out.String(), "1 vrrp valid") {
			t.Errorf("before read %d there was %q", reads, out.String())
		}
		return 0, errors.New("enough")
	}))
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
	if reads < 2 {
		t.Errorf("%d reads", reads)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
