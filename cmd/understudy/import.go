package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/appliance/config/keepalived"
)

func newImport() *cobra.Command {
	var (
		peer   string
		id     string
		secret string
	)
	c := &cobra.Command{
		Use:   "import KEEPALIVED.CONF [CONNTRACKD.CONF]",
		Short: "print a keepalived.conf as a configuration of Understudy",
		Long: "Prints the TOML that means the same, each key with the line that it comes of, and on standard\n" +
			"error, line by line, what it could not carry over. With a conntrackd.conf, or a UDP or TCP link in\n" +
			"it, connections are kept by [sessions].",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := config.ImportOptions{SecretFile: secret}
			o.World = keepalived.Elsewhere()
			o.World.ID = id
			if peer != "" {
				a, err := netip.ParseAddr(peer)
				if err != nil {
					return usageError(fmt.Errorf("--peer: %q is not an address", peer))
				}
				o.Peer = a
			}
			src, err := o.World.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			if len(args) == 2 {
				o.Conntrackd = args[1]
				if o.ConntrackdText, err = o.World.Open(args[1]); err != nil {
					return usageError(err)
				}
			}
			out, err := config.Import(args[0], src, o)
			for _, m := range out.Messages {
				fmt.Fprintln(os.Stderr, m)
			}
			if err != nil {
				return configError(err)
			}
			fmt.Fprint(cmd.OutOrStdout(), out.TOML)
			return nil
		},
	}
	c.Flags().StringVar(&peer, "peer", "", "address of the other node on the link of the sessions, if conntrackd.conf does not name it")
	c.Flags().StringVar(&id, "config-id", "", "the config-id of @conditions (default: the host's name up to the first dot)")
	c.Flags().StringVar(&secret, "secret-file", "", "file with the cluster secret to name (default /etc/understudy/secret)")
	return c
}
