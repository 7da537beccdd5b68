package splicenet

import (
	"errors"
	"fmt"

	"understudy/nat/conntrack"
	"understudy/nat/splice"
)

// Healing is what is needed of nftables to end what a program that died has left.
type Healing interface {
	Heal(serves func(splice.Ends) (bool, error)) (freed int, err error)
}

// Heal ends what a program has left that died while it moved connections: none is frozen any more, and a
// server is heard again on those that it still serves, by the kernel's table of the network namespace
// of the calling thread. Nothing may be moved meanwhile. It tells how many ways of packets are
// free again.
func Heal(table Healing) (freed int, err error) {
	k, err := conntrack.OpenKernel()
	if err != nil {
		return 0, fmt.Errorf("splicenet: %w", err)
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	return table.Heal(func(e splice.Ends) (bool, error) {
		_, err := k.Get(keyOf(e))
		if err == conntrack.ErrNotFound {
			return false, nil
		}
		return err == nil, err
	})
}
