package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// qemu is what emulates the machine.
const qemu = "qemu-system-x86_64"

// Machine is what the guest runs on.
type Machine struct {
	Image   string // path of the kernel
	Initrd  string
	Console string // file for what the kernel says
	Memory  int    // MiB
	CPUs    int
}

// Boot runs the machine until it switches itself off. What comes over its second
// serial line goes to results. An end of ctx pulls the plug.
//
// Always emulated (tcg): a machine that is one itself may offer KVM and hang.
func (m Machine) Boot(ctx context.Context, results io.Writer) error {
	c := exec.CommandContext(ctx, qemu,
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", fmt.Sprint(m.CPUs), "-m", fmt.Sprint(m.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:"+m.Console, "-serial", "stdio",
		"-kernel", m.Image, "-initrd", m.Initrd,
		"-append", "console=ttyS0 panic=-1 quiet loglevel=4",
	)
	var words bytes.Buffer
	c.Stdout, c.Stderr = results, &words
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		return fmt.Errorf("guest: %s: %w: %s", qemu, err, bytes.TrimSpace(words.Bytes()))
	}
	return nil
}

// Tail is the end of what the kernel said.
func (m Machine) Tail() string {
	const most = 4 << 10
	b, err := os.ReadFile(m.Console)
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-most):])
}
