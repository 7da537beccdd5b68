// Command guest runs the guest tests of packages in a machine under Debian's
// kernel, and prints what `go test -json` would:
//
//	go run ./.ci/guest -kernel DIR -program bin/understudy PACKAGE… | go run ./.ci/testsum -part guest
//
// Where it cannot, that is one skipped test with the reason; with -require it is a
// failure. See understudy/appliance/lab/guest.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"understudy/appliance/lab/guest"
)

func main() {
	root := flag.String("kernel", "", "directory with an unpacked kernel package")
	busybox := flag.String("busybox", "", "a static busybox")
	program := flag.String("program", "bin/understudy", "the program, linked statically")
	data := flag.String("package", "", "directory with an unpacked package, for its data")
	require := flag.Bool("require", false, "fail where the guest cannot run")
	run := flag.String("run", "^TestGuest", "which tests")
	limit := flag.Duration("limit", 15*time.Minute, "for all of it")
	keep := flag.Bool("keep", false, "leave the image and the console's log in place")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	j := job{root: *root, busybox: *busybox, program: *program, data: *data, run: *run, limit: *limit, keep: *keep, packages: flag.Args()}
	if err := j.possible(); err != nil {
		refuse(err, *require)
		return
	}
	if err := j.do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// refuse says that there is no guest here, as a test that was skipped or failed.
func refuse(err error, require bool) {
	action := "skip"
	if require {
		action = "fail"
	}
	const pkg, test = "understudy/appliance/lab/guest", "TestGuest"
	for _, e := range []guest.Event{
		{Action: "run", Package: pkg, Test: test},
		{Action: "output", Package: pkg, Test: test, Output: "the guest cannot run here: " + err.Error() + "\n"},
		{Action: action, Package: pkg, Test: test},
		{Action: action, Package: pkg},
	} {
		_ = json.NewEncoder(os.Stdout).Encode(e) // a broken pipe ends us
	}
}

type job struct {
	root, busybox, program, data, run string
	limit                             time.Duration
	keep                              bool
	packages                          []string
}

// programs are taken into the guest.
var programs = []string{"teamd", "teamnl", "keepalived"}

// tools are what the machine that tests must have.
var tools = append([]string{"qemu-system-x86_64", "cpio", "depmod"}, programs...)

func (j job) possible() error {
	var missing []string
	for _, t := range tools {
		if _, err := exec.LookPath(t); err != nil {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not installed: %s (.ci/tools installs it)", strings.Join(missing, ", "))
	}
	for _, f := range []string{j.busybox, j.program, j.data} {
		if _, err := os.Stat(f); err != nil {
			return err
		}
	}
	_, err := guest.FindKernel(j.root)
	return err
}

func (j job) do(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "understudy-guest-")
	if err != nil {
		return err
	}
	if j.keep {
		fmt.Fprintln(os.Stderr, "guest: image and console in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, j.limit, fmt.Errorf("not done after %v", j.limit))
	defer cancel()
	image, err := j.image(ctx, dir)
	if err != nil {
		return err
	}
	initrd := filepath.Join(dir, "initrd")
	stage := filepath.Join(dir, "root")
	if err := image.Write(ctx, stage, initrd); err != nil {
		return err
	}
	m := guest.Machine{Image: image.Kernel.Image, Initrd: initrd, Console: filepath.Join(dir, "console"), Memory: 1536, CPUs: 2}
	relay := &guest.Relay{Out: os.Stdout}
	for _, s := range image.Suites {
		relay.Packages = append(relay.Packages, s.Package)
	}
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() { read <- relay.Read(r) }()
	booted := m.Boot(ctx, w)
	w.Close()
	if err := errors.Join(booted, <-read); err != nil {
		return fmt.Errorf("%w\nthe console's last words:\n%s", err, m.Tail())
	}
	if !relay.Done() {
		return fmt.Errorf("the machine stopped by itself; the console's last words:\n%s", m.Tail())
	}
	return nil
}

// image builds the test binaries.
func (j job) image(ctx context.Context, dir string) (guest.Image, error) {
	kernel, err := guest.FindKernel(j.root)
	if err != nil {
		return guest.Image{}, err
	}
	im := guest.Image{Kernel: kernel, Busybox: j.busybox, Program: j.program, Run: j.run, Timeout: j.limit.String(), Programs: programs, Packages: []string{j.data}}
	list := exec.CommandContext(ctx, "go", append([]string{"list"}, j.packages...)...)
	list.Stderr = os.Stderr
	names, err := list.Output()
	if err != nil {
		return im, fmt.Errorf("go list: %w", err)
	}
	for i, pkg := range strings.Fields(string(names)) {
		binary := filepath.Join(dir, fmt.Sprintf("%d.test", i))
		build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "guest", "-ldflags", "-s -w", "-o", binary, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return im, fmt.Errorf("building the tests of %s: %w", pkg, err)
		}
		if _, err := os.Stat(binary); err != nil {
			return im, fmt.Errorf("%s has no tests", pkg)
		}
		im.Suites = append(im.Suites, guest.Suite{Package: pkg, Binary: binary})
	}
	return im, os.MkdirAll(filepath.Join(dir, "root"), 0o755)
}
