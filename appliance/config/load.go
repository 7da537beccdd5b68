package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"

	"understudy/appliance/config/keepalived"
)

// maxSize bounds what is read as a configuration: far above the largest
// sensible file, far below what hurts.
const maxSize = 4 << 20

// Options change how a file is checked.
type Options struct {
	// ReadSecret reads the file with the cluster secret and says which mode it
	// has. nil: the secret is not looked at, as when a file is checked on
	// another machine than the one it is for.
	ReadSecret func(path string) (content []byte, mode os.FileMode, err error)
	// World is what the meaning of a keepalived.conf depends on; zero: its text alone.
	World keepalived.World
	// Keepalived: the file is in keepalived's language, whatever it looks like.
	Keepalived bool
	// Before is what things in a keepalived.conf are called by a process that goes on.
	Before *keepalived.Names
}

// Load reads the configuration file at path and the cluster secret it names.
// The error is [Problems] if the file could be read and is wrong.
func Load(path string) (*Config, error) { return LoadSpoken(path, SpokenOptions{}) }

// SpokenOptions are what a keepalived.conf depends on beside the machine: how the
// process that reads it was started, and what it has read before.
type SpokenOptions struct {
	Keepalived bool              // the process is a keepalived
	Runs       bool              // it is run now, on this machine
	ID         string            // config-id of @conditions
	VRRPOnly   bool              // without virtual servers
	Before     *keepalived.Names // nil: nothing
	Tunnels    func() error      // why there are no tunnels to servers; nil: as if there were
}

// LoadSpoken is Load by a process that may be a keepalived.
func LoadSpoken(path string, o SpokenOptions) (*Config, error) {
	src, _, err := readFile(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	w := keepalived.Elsewhere()
	w.ID, w.VRRPOnly = o.ID, o.VRRPOnly
	w.Networks, w.VRF, w.Runs, w.Tunnels = keepalived.Networks, keepalived.VRFTable, o.Runs, o.Tunnels
	return Parse(path, src, Options{ReadSecret: ReadSecretFile, World: w, Keepalived: o.Keepalived, Before: o.Before})
}

// readFile reads at most limit bytes; a longer file is an error. The mode is
// that of the file that was read, not of another one put in its place.
func readFile(path string, limit int64) ([]byte, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if st.IsDir() {
		return nil, 0, fmt.Errorf("%s: is a directory", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(content)) > limit {
		return nil, 0, fmt.Errorf("%s: is larger than %d bytes", path, limit)
	}
	return content, st.Mode(), nil
}

// Parse checks the configuration src. name is what problems call the file;
// relative paths in src are relative to the directory of name. The error, if
// there is one, is [Problems]. A file in keepalived's language is read as such (see
// [keepalived.Looks]).
func Parse(name string, src []byte, o Options) (*Config, error) {
	if o.Keepalived || keepalived.Looks(name, src) {
		return parseKeepalived(name, src, o)
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	tree := map[string]any{}
	if p := syntax(name, text, &tree); p != nil {
		return nil, Problems{*p}
	}

	c, problems := checkTree(name, tree, newIndex(text), o)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// checkTree checks a configuration as a TOML library has decoded it.
func checkTree(name string, tree map[string]any, ix *index, o Options) (*Config, Problems) {
	r := newReport(name, ix)
	var raw rawFile
	r.bind("", tree, reflect.ValueOf(&raw).Elem())

	c := checker{report: r, options: o, dir: filepath.Dir(name), defaults: Default(), config: &Config{File: name}}
	c.check(&raw)
	r.problems.sort()
	return c.config, r.problems
}

// syntax parses text into tree and returns what is not TOML about it.
func syntax(name, text string, tree *map[string]any) *Problem {
	// The library would read UTF-16 as something else.
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return &Problem{File: name, Line: 1, What: "the file is not UTF-8", Fix: "save it as UTF-8"}
	}
	_, err := toml.Decode(text, tree)
	if err == nil {
		return nil
	}
	p := &Problem{File: name, Line: 1, What: "not TOML: " + oneLine(err.Error()), Fix: "write it as TOML 1.0 has it, see https://toml.io"}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		p.Line = min(max(1, pe.Position.Line), strings.Count(text, "\n")+1)
		p.Key = oneLine(pe.LastKey)
		p.What = "not TOML: " + strings.TrimSuffix(oneLine(pe.Message), ".")
		p.Fix = syntaxFix(pe.Message)
	}
	return p
}

// syntaxFix gives a hint for the slips that happen, by what the library says.
func syntaxFix(message string) string {
	for _, hint := range []struct{ sign, fix string }{
		{"already been defined", "write the key once, in one table"},
		{"already been created", "write [[…]] before each table of a list, and each [table] once"},
		{"cannot contain newlines", "close the string with a quote on the same line"},
		{"expected value but found", "put text, addresses and durations in quotes"},
		{"UTF-8", "save the file as UTF-8"},
		{"NULL", "save the file as UTF-8"},
	} {
		if strings.Contains(message, hint.sign) {
			return hint.fix
		}
	}
	return "correct this line, or the end of the line before"
}
