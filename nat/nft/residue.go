package nft

import (
	"fmt"

	"github.com/google/nftables"
)

// RemoveTables removes the tables of that name of both IP families, which a program
// that was killed has left, and returns how many there were.
func RemoveTables(name string) (n int, err error) {
	c, err := nftables.New()
	if err != nil {
		return 0, fmt.Errorf("nft: %w", err)
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		tables, err := c.ListTablesOfFamily(family)
		if err != nil {
			return n, fmt.Errorf("nft: reading tables: %w", err)
		}
		for _, t := range tables {
			if t.Name == name {
				c.DelTable(t)
				n++
			}
		}
	}
	if n == 0 {
		return 0, nil
	}
	if err := c.Flush(); err != nil {
		return 0, fmt.Errorf("nft: removing table %s: %w", name, err)
	}
	return n, nil
}
