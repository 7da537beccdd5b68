package lab

import (
	"fmt"
	"os/exec"
	"strings"
)

// Ruleset has the node's kernel load rules, as nft reads them.
func (n *Node) Ruleset(text string) error {
	return n.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("lab: %s: nft: %w: %s", n.Name, err, out)
		}
		return nil
	})
}
