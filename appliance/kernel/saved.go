package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// savedFile is the name of the file of previous values in its directory.
const savedFile = "sysctls.json"

// savedValues is the content of the file, in the order of saving.
type savedValues struct {
	Values []savedValue `json:"values"`
	dirty  bool
}

type savedValue struct {
	Key         string       `json:"key"`
	Previous    string       `json:"previous"`
	Ours        string       `json:"ours"`
	SideEffects []sideEffect `json:"side_effects,omitempty"`
}

// sideEffect is a key that changes when another is written, and its value
// before that.
type sideEffect struct {
	Key      string `json:"key"`
	Previous string `json:"previous"`
}

// note remembers the present value unless it is ours already.
func (v *savedValues) note(w Setting, present string, affected func(key string) []sideEffect) {
	i := slices.IndexFunc(v.Values, func(o savedValue) bool { return o.Key == w.Key })
	switch {
	case i < 0 && present == w.Value:
		return // it was so before us, and stays so
	case i < 0:
		v.Values = append(v.Values, savedValue{Key: w.Key})
		i = len(v.Values) - 1
	case present == v.Values[i].Ours && w.Value == v.Values[i].Ours:
		return
	}
	e := &v.Values[i]
	if present != e.Ours {
		e.Previous = present
		e.SideEffects = affected(w.Key)
	}
	e.Ours = w.Value
	v.dirty = true
}

// load reads the file; one that is not there is empty.
func load(dir string) (*savedValues, error) {
	v := &savedValues{}
	b, err := os.ReadFile(filepath.Join(dir, savedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return nil, fmt.Errorf("kernel: saved sysctls: %w", err)
	}
	return v, nil
}

// store makes the file durable before it returns, or removes it if there is
// nothing to keep. A reader finds the old or the new one, never half of one.
func (v *savedValues) store(dir string) error {
	if !v.dirty {
		return nil
	}
	if err := v.replace(dir); err != nil {
		return fmt.Errorf("kernel: saving sysctls: %w", err)
	}
	v.dirty = false
	return nil
}

func (v *savedValues) replace(dir string) error {
	name := filepath.Join(dir, savedFile)
	if len(v.Values) == 0 {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, savedFile+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
