package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// FlushConntrack empties the node's connection table, of every family.
func (n *Node) FlushConntrack() error {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	err := n.Do(func() error {
		_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("lab: %s: flush connections: %w", n.Name, err)
	}
	return nil
}

// Conntrack lists the node's IPv4 connections. It is for looking at what
// survived, not for a table of a million entries.
func (n *Node) Conntrack() ([]*netlink.ConntrackFlow, error) {
	flows, err := n.space.nl.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: list connections: %w", n.Name, err)
	}
	return flows, nil
}
