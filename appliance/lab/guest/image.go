package guest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed init.sh
var initScript []byte

// Suite is one package's test binary, linked statically.
type Suite struct {
	Package string // import path
	Binary  string
}

// Image says what is in the guest.
type Image struct {
	Kernel   Kernel
	Busybox  string // linked statically
	Program  string // `understudy`, linked statically
	Suites   []Suite
	Run      string   // -test.run of every suite
	Timeout  string   // -test.timeout of every suite
	Programs []string // of this machine, with the libraries that they need
	Packages []string // directories with an unpacked package each, for its data
}

// Write stages the image in dir, which must be empty, and packs it into the initrd
// at file. The initrd is not compressed: an emulated processor is longer at it
// than a disk is at reading.
func (im Image) Write(ctx context.Context, dir, file string) error {
	for _, step := range []func(context.Context, string) error{im.base, im.modules, im.suites, im.packages, im.programs} {
		if err := step(ctx, dir); err != nil {
			return fmt.Errorf("guest: image: %w", err)
		}
	}
	return pack(ctx, dir, file)
}

func (im Image) base(_ context.Context, dir string) error {
	for _, d := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "proc", "sys", "dev", "run", "tmp", "root", "etc/modprobe.d", "tests", "var", "lib64"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := install(im.Busybox, filepath.Join(dir, "bin/busybox")); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"init":                      string(initScript),
		"etc/passwd":                "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":                 "root:x:0:\nnogroup:x:65534:\n",
		"etc/modprobe.d/guest.conf": options,
		"tests/run":                 im.Run + "\n",
		"tests/timeout":             im.Timeout + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// modules puts the modules into the image, unpacked, with the indexes that
// modprobe goes by.
func (im Image) modules(ctx context.Context, dir string) error {
	if err := im.Kernel.index(ctx); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(im.Kernel.Modules, "modules.dep"))
	if err != nil {
		return err
	}
	defer f.Close()
	deps, err := readDependencies(f)
	if err != nil {
		return err
	}
	list := deps.closure(shipped, shippedAlso)
	if len(list) < len(shippedAlso) {
		return fmt.Errorf("%s: has %d modules of those that are wanted", im.Kernel.Modules, len(list))
	}
	tree := filepath.Join(dir, "lib/modules", im.Kernel.Release)
	for _, m := range list {
		if err := im.Kernel.unpack(ctx, m, tree); err != nil {
			return err
		}
	}
	for _, name := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if err := install(filepath.Join(im.Kernel.Modules, name), filepath.Join(tree, name)); err != nil {
			return err
		}
	}
	return command(ctx, "depmod", "-b", dir, im.Kernel.Release)
}

// index makes modules.dep, which the package leaves to its installation.
func (k Kernel) index(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(k.Modules, "modules.dep")); err == nil {
		return nil
	}
	// Below DIR/lib/modules, or DIR/usr/lib/modules where those are one.
	base := filepath.Dir(filepath.Dir(filepath.Dir(k.Modules)))
	return command(ctx, "depmod", "-b", base, k.Release)
}

func (k Kernel) unpack(ctx context.Context, module, tree string) error {
	from, to := filepath.Join(k.Modules, module), filepath.Join(tree, module)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	tool := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(module)]
	if tool == "" {
		return install(from, to)
	}
	plain, err := exec.CommandContext(ctx, tool, "-dc", from).Output()
	if err != nil {
		return fmt.Errorf("%s %s: %w", tool, from, err)
	}
	return os.WriteFile(strings.TrimSuffix(to, filepath.Ext(module)), plain, 0o644)
}

func (im Image) suites(_ context.Context, dir string) error {
	var list strings.Builder
	for i, s := range im.Suites {
		name := fmt.Sprintf("%d.test", i)
		fmt.Fprintf(&list, "%s %s\n", name, s.Package)
		if err := install(s.Binary, filepath.Join(dir, "tests", name)); err != nil {
			return err
		}
	}
	if err := install(im.Program, filepath.Join(dir, Program)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tests/list"), []byte(list.String()), 0o644)
}

// library finds a path in the words of ldd: "libfoo.so.1 => /lib/libfoo.so.1 (0x…)",
// or the loader's own path.
var library = regexp.MustCompile(`(?m)(?:=> |^\s*)(/\S+) \(0x`)

// programs copies programs of this machine, each with its libraries, to where
// they are here.
func (im Image) programs(ctx context.Context, dir string) error {
	for _, p := range im.Programs {
		path, err := exec.LookPath(p)
		if err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, "ldd", path).Output()
		if err != nil {
			return fmt.Errorf("ldd %s: %w", path, err)
		}
		files := []string{path}
		for _, m := range library.FindAllSubmatch(out, -1) {
			files = append(files, string(m[1]))
		}
		for _, f := range files {
			if err := install(f, filepath.Join(dir, f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// packages copies what unpacked packages have to where it is when they are installed.
func (im Image) packages(_ context.Context, dir string) error {
	for _, p := range im.Packages {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(p, path)
			if err != nil {
				return err
			}
			return install(path, filepath.Join(dir, rel))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// install copies a file, and makes it one that can be run.
func install(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// pack makes the archive that the kernel unpacks.
func pack(ctx context.Context, dir, file string) error {
	var names bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		names.WriteString(rel + "\x00")
		return err
	})
	if err != nil {
		return fmt.Errorf("guest: pack: %w", err)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("guest: pack: %w", err)
	}
	c := exec.CommandContext(ctx, "cpio", "--null", "--quiet", "-o", "-H", "newc", "-R", "0:0")
	c.Dir, c.Stdin, c.Stdout, c.Stderr = dir, &names, out, os.Stderr
	if err := errors.Join(c.Run(), out.Close()); err != nil {
		return fmt.Errorf("guest: pack: %w", err)
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
