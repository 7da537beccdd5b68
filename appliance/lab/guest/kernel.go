package guest

import (
	"fmt"
	"os"
	"path/filepath"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	Release string // as `uname -r` has it
	Image   string // path of vmlinuz
	Modules string // the directory with the release's modules
}

// FindKernel looks into a directory in which one kernel package was unpacked.
func FindKernel(root string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	if len(images) != 1 {
		return Kernel{}, fmt.Errorf("guest: want one kernel in %s, found %d", filepath.Join(root, "boot"), len(images))
	}
	k := Kernel{Image: images[0], Release: filepath.Base(images[0])[len("vmlinuz-"):]}
	for _, lib := range []string{"lib", "usr/lib"} {
		k.Modules = filepath.Join(root, lib, "modules", k.Release)
		if st, err := os.Stat(k.Modules); err == nil && st.IsDir() {
			return k, nil
		}
	}
	return Kernel{}, fmt.Errorf("guest: no modules of %s in %s", k.Release, root)
}
