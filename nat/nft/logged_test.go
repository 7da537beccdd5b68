package nft_test

import (
	"errors"
	"testing"

	"github.com/google/nftables"

	"understudy/appliance/lab"
	"understudy/nat/nft"
)

// The kernel is asked whether it can copy what passes a device, and keeps nothing of it.
func TestLoggedCan(t *testing.T) {
	node := lab.NewT(t).Node("gateway")
	if err := node.Do(func() (err error) {
		table, err := nft.OpenLogged(nft.Config{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, table.Close()) }()
		for range 2 {
			if err := table.Can(); err != nil {
				return err
			}
		}
		c, err := nftables.New()
		if err != nil {
			return err
		}
		left, err := c.ListTables()
		if len(left) > 0 {
			t.Errorf("%d tables are left, the first is %s", len(left), left[0].Name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
