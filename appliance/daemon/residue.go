package daemon

import (
	"errors"
	"log/slog"

	"understudy/appliance/config"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
	"understudy/nat/nft"
)

// keepalivedTable is the table of nftables that keepalived makes if nobody names another.
const keepalivedTable = "keepalived"

// CleanKeepalived takes away what a keepalived has left here that was killed, if the
// configuration is in its language: as keepalived does at its own start. An address
// that stayed would be the operator's to us, and be answered for while another node
// has it. It is for the start of a node, before there is an election; no keepalived
// may be running.
func CleanKeepalived(cfg *config.Config, log *slog.Logger) error {
	if cfg.Spoken == nil {
		return nil
	}
	var r kernel.Residue
	for _, one := range cfg.Routers {
		r.Devices = append(r.Devices, identity.NewDevice(one.Interface, one.VRID, one.Family))
		if one.Priority == 255 {
			continue // they are the interface's own
		}
		for _, p := range one.Held() {
			r.Addresses = append(r.Addresses, identity.Address{Interface: one.On(p.Addr()), Prefix: p})
		}
	}
	r.Exact = cfg.Static.Addresses
	out, err := kernel.RemoveResidue(r)
	tables, tablesErr := nft.RemoveTables(keepalivedTable)
	if out != (kernel.Removed{}) || tables > 0 {
		log.Warn("removed what a keepalived had left", "addresses", out.Addresses, "devices", out.Devices, "routes", out.Routes, "rules", out.Rules, "tables", tables)
	}
	return errors.Join(err, tablesErr)
}
