package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// capability is a privilege of the kernel's.
type capability struct {
	name string
	bit  uint
}

var (
	netAdmin = capability{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}
	netRaw   = capability{"CAP_NET_RAW", unix.CAP_NET_RAW}
)

// needs says what a command cannot do without, before it fails in the middle of its work;
// what names the work.
func needs(what string, all ...capability) error {
	have, err := effective()
	if err != nil {
		return nil // it will be seen
	}
	var lacks []string
	for _, c := range all {
		if have&(1<<c.bit) == 0 {
			lacks = append(lacks, c.name)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("permission denied: %s needs %s: run as root (sudo understudy …), or by the service (systemctl start understudy), see docs/operations.md", what, strings.Join(lacks, " and "))
}

// effective are the capabilities that this process has.
func effective() (uint64, error) {
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return 0, err
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}
