package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/appliance/daemon"
)

func newCheck() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check",
		Short: "check a configuration file; every problem with file, line, key and fix",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return usageError(err)
			}
			for _, w := range cfg.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), w)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid: node %s, %d routers in %d groups\n", file, cfg.Node, len(cfg.Routers), len(cfg.Groups))
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "/etc/understudy/understudy.toml", "configuration file")
	return c
}

func newKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen",
		Short: "print a new cluster secret (put the same file on every node, mode 0600)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, err := config.NewSecret(rand.Reader)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), line)
			return nil
		},
	}
}

func newClean() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "clean",
		Short: "remove everything of ours from this kernel, by our marks; idempotent",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs("to remove what is in the kernel", netAdmin); err != nil {
				return err
			}
			out, err := daemon.Clean(force)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "clean: %d addresses, %d devices, %d routes and %d rules removed\n", out.Addresses, out.Devices, out.Routes, out.Rules)
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "even if understudy is running here")
	return c
}
