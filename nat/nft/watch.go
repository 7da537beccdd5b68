package nft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watcher hears of changes that take something away from our table, as a reload
// of the system's own rules does when it begins with `flush ruleset`.
type Watcher struct {
	nl    *netlink.Conn
	table string
}

// OpenWatcher begins to listen; what happens before Run is not lost.
func OpenWatcher(c Config) (*Watcher, error) { return openWatcher(c, Table) }

// OpenEntryWatcher does the same for the table of entry points.
func OpenEntryWatcher(c Config) (*Watcher, error) { return openWatcher(c, EntryTable) }

// OpenDirectWatcher does the same for those of direct entry points.
func OpenDirectWatcher(c Config) (*Watcher, error) { return openWatcher(c, DirectTable) }

func openWatcher(c Config, table string) (*Watcher, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: c.NetNS})
	if err != nil {
		return nil, fmt.Errorf("nft: watch: %w", err)
	}
	if err := nl.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		nl.Close()
		return nil, fmt.Errorf("nft: watch: %w", err)
	}
	return &Watcher{nl: nl, table: table}, nil
}

// Close releases the socket; call it after Run has returned.
func (w *Watcher) Close() error { return w.nl.Close() }

// settle is how long changes are let come in before they are told of as one: a
// flush of the whole ruleset is a message for each of its parts.
const settle = 20 * time.Millisecond

// Run calls changed, at most once per settling time, after others removed a part
// of our table, or when notices were lost: Apply then tells whether anything is
// missing. own returns the port whose changes are not news ([Applier.PortID]). It
// ends with ctx, which is not an error.
func (w *Watcher) Run(ctx context.Context, own func() uint32, changed func()) error {
	stop := context.AfterFunc(ctx, func() { _ = w.nl.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	pending := false
	for ctx.Err() == nil {
		deadline := time.Time{}
		if pending {
			deadline = time.Now().Add(settle)
		}
		_ = w.nl.SetReadDeadline(deadline)
		if ctx.Err() != nil {
			break // its deadline may just have been taken back
		}
		messages, err := w.nl.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if pending && ctx.Err() == nil {
				pending = false
				changed()
			}
		case errors.Is(err, unix.ENOBUFS):
			pending = true
		case err != nil:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("nft: watch: %w", err)
		}
		for _, m := range messages {
			pending = pending || m.Header.PID != own() && removesOf(m, w.table)
		}
	}
	return nil
}

// removesOf tells whether a notice is about a part of the table that went.
func removesOf(m netlink.Message, table string) bool {
	if uint16(m.Header.Type)>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < nfgenmsgSize {
		return false
	}
	switch uint16(m.Header.Type) & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
	default:
		return false
	}
	attrs, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgSize:])
	if err != nil {
		return false
	}
	for attrs.Next() {
		// The table's name is attribute 1 in each of these messages.
		if attrs.Type() == unix.NFTA_TABLE_NAME {
			return attrs.String() == table
		}
	}
	return false
}

// nfgenmsgSize is the header of every nfnetlink message: family, version, resource.
const nfgenmsgSize = 4
