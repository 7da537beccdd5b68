package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Path returns where a file below the node's own /run is found from outside,
// for example to connect to a socket there. The path is good until the node
// reboots.
func (n *Node) Path(inside string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.needCell(); err != nil {
		return "", err
	}
	clean := filepath.Clean(inside)
	if !strings.HasPrefix(clean, "/run/") {
		// Anything else is not the node's, but this machine's.
		return "", fmt.Errorf("lab: %s: %s is not below /run", n.Name, inside)
	}
	return fmt.Sprintf("/proc/%d/root%s", n.cell.init.Process.Pid, clean), nil
}

// WriteFile writes a file below the node's own /run, making directories as
// needed. It is gone with the node's next reboot, and no trace of it is left on
// this machine.
func (n *Node) WriteFile(inside string, data []byte, mode os.FileMode) error {
	path, err := n.Path(inside)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	return nil
}

// needCell starts the cell with the node's first process or file. n.mu is held.
func (n *Node) needCell() error {
	if n.cell != nil {
		return nil
	}
	c, err := startCell(n.space, n.Name)
	if err != nil {
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	n.cell = c
	return nil
}
