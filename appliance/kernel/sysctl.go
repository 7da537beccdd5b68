package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sysctls sets kernel parameters and can take that back, also in a later
// process. Not for concurrent use.
//
//	Apply:   read present ─▶ save (fsync) ─▶ write ours
//	Restore: write back, but only what still is as we left it
//
// The saved value is always the last one that was not ours. So a second Apply
// (a restart of the daemon) keeps it, and a crash between saving and writing does
// no harm: the present value is then found to be not ours and left alone.
type Sysctls struct {
	dir  string // where previous values are kept
	root string // /proc/sys, but for tests
}

// NewSysctls returns a Sysctls that keeps previous values in dir, which is
// created when needed. It should not outlive a boot, as /run does not.
func NewSysctls(dir string) *Sysctls { return &Sysctls{dir: dir, root: "/proc/sys"} }

// Apply sets all settings and takes back what an earlier Apply set and is not
// wanted any more. What fails for one key does not keep back the others; the
// error joins all, and wraps fs.ErrNotExist for a key this kernel does not have
// (a module is not loaded, an interface does not exist).
func (s *Sysctls) Apply(want []Setting) error {
	saved, err := load(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	var write []Setting
	for _, w := range want {
		present, err := s.read(w.Key)
		if w.Lazy && errors.Is(err, fs.ErrNotExist) {
			continue // nobody tracks connections, so nobody loses any; or the interface is to come
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !w.Keep {
			saved.note(w, present, s.affected)
		}
		if present != w.Value {
			write = append(write, w)
		}
	}
	if err := saved.store(s.dir); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, w := range write {
		errs = append(errs, s.write(w.Key, w.Value))
	}
	unwanted := func(key string) bool {
		return !slices.ContainsFunc(want, func(w Setting) bool { return w.Key == key })
	}
	return errors.Join(append(errs, s.takeBack(saved, unwanted))...)
}

// Restore takes back everything. It is idempotent.
func (s *Sysctls) Restore() error {
	saved, err := load(s.dir)
	if err != nil {
		return err
	}
	return s.takeBack(saved, func(string) bool { return true })
}

// takeBack restores the saved values whose key is unwanted, last saved first,
// and forgets them. What cannot be written stays saved.
func (s *Sysctls) takeBack(saved *savedValues, unwanted func(key string) bool) error {
	var errs []error
	keep := saved.Values[:0:0]
	for _, v := range slices.Backward(saved.Values) {
		if !unwanted(v.Key) {
			keep = append(keep, v)
			continue
		}
		if err := s.restore(v); err != nil {
			errs = append(errs, err)
			keep = append(keep, v)
		}
	}
	if len(keep) == len(saved.Values) {
		return errors.Join(errs...)
	}
	slices.Reverse(keep)
	saved.Values, saved.dirty = keep, true
	return errors.Join(append(errs, saved.store(s.dir))...)
}

func (s *Sysctls) restore(v savedValue) error {
	present, err := s.read(v.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an interface that is gone took its settings along
	}
	if err != nil || present != v.Ours {
		return err
	}
	if err := s.write(v.Key, v.Previous); err != nil {
		return err
	}
	for _, e := range v.SideEffects {
		if err := s.write(e.Key, e.Previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sideEffects lists what the kernel also changes when the key is written, as
// patterns. Turning forwarding on or off sets it on each interface and flips
// all.accept_redirects: without care, taking ip_forward back to 0 would end the
// forwarding an operator had on one interface only, and would accept redirects
// that were refused before.
func sideEffects(key string) []string {
	switch key {
	case "net.ipv4.ip_forward":
		return []string{"net/ipv4/conf/all/accept_redirects", "net/ipv4/conf/default/forwarding", "net/ipv4/conf/*/forwarding"}
	case "net.ipv6.conf.all.forwarding":
		return []string{"net/ipv6/conf/default/forwarding", "net/ipv6/conf/*/forwarding"}
	}
	return nil
}

// affected returns the present values of what writing the key changes too.
func (s *Sysctls) affected(key string) (out []sideEffect) {
	for _, pattern := range sideEffects(key) {
		paths, _ := filepath.Glob(filepath.Join(s.root, pattern))
		for _, p := range paths {
			rel, err := filepath.Rel(s.root, p)
			if err != nil || filepath.Base(filepath.Dir(p)) == "all" && filepath.Base(p) == "forwarding" {
				continue // all.forwarding is ip_forward under another name
			}
			if v, err := s.read(rel); err == nil {
				out = append(out, sideEffect{rel, v})
			}
		}
	}
	return out
}

// read returns the value with white space normalised.
func (s *Sysctls) read(key string) (string, error) {
	p, err := s.path(key)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return "", fmt.Errorf("kernel: sysctl %s: %w", key, err)
	}
	return strings.Join(strings.Fields(string(b)), " "), nil
}

func (s *Sysctls) write(key, value string) error {
	p, err := s.path(key)
	if err != nil {
		return err
	}
	// Never O_CREATE: a missing key must fail, not appear (in tests).
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("kernel: sysctl %s: %w", key, err)
	}
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("kernel: sysctl %s = %s: %w", key, value, err)
	}
	return nil
}

// path translates a key by the rule of sysctl(8): the first separator is the
// one that separates; the other of dot and slash stands for its counterpart.
func (s *Sysctls) path(key string) (string, error) {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		key = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, key)
	}
	if !filepath.IsLocal(key) {
		return "", fmt.Errorf("kernel: sysctl %q: not a key", key)
	}
	return filepath.Join(s.root, key), nil
}
