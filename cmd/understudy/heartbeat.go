package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/health/heartbeat"
	own "understudy/health/program"
	"understudy/health/pulse"
)

// heartbeatFlags are what a server says, and to whom.
type heartbeatFlags struct {
	to      []string
	listen  string
	secret  string
	name    string
	every   time.Duration
	verbose bool
}

func newHeartbeat() *cobra.Command {
	var f heartbeatFlags
	c := &cobra.Command{
		Use:   "heartbeat [flags] [-- COMMAND [ARGUMENT…]]",
		Short: "be a server that gateways watch: send heartbeats, or answer for them",
		Long: "Sends authenticated heartbeats to gateways (--to; a check of kind \"heartbeat\" with listen hears them), answers\n" +
			"gateways that ask (--listen; a check with target), or both. A command behind -- is run at each interval: while\n" +
			"it fails, or does not end within the interval, the heartbeats say so. On SIGTERM the gateways are told that the\n" +
			"server leaves. Needs nothing of the machine that it runs on, and no root.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := f.config(args)
			if err != nil {
				return usageError(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return pulse.Run(ctx, cfg)
		},
	}
	c.Flags().StringSliceVar(&f.to, "to", nil, "address and port of a gateway to send heartbeats to; may be repeated")
	c.Flags().StringVar(&f.listen, "listen", "", "address and port where gateways ask")
	c.Flags().StringVar(&f.secret, "secret-file", "", "the secret that the gateways have for this server (understudy keygen)")
	c.Flags().StringVar(&f.name, "name", "", "name of this server (default: the name of the host)")
	c.Flags().DurationVar(&f.every, "every", time.Second, "interval of heartbeats, and of the command")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "log debug messages too")
	return c
}

func (f *heartbeatFlags) config(args []string) (cfg pulse.Config, err error) {
	cfg = pulse.Config{Server: f.name, Every: f.every, Logger: newLogger(verbosity(f.verbose))}
	if cfg.Server == "" {
		if cfg.Server, err = os.Hostname(); err != nil {
			return cfg, err
		}
	}
	if len(cfg.Server) > heartbeat.MaxName {
		return cfg, fmt.Errorf("--name %s: use at most %d characters", cfg.Server, heartbeat.MaxName)
	}
	if f.every < 10*time.Millisecond || f.every > time.Hour {
		return cfg, fmt.Errorf("--every %v: use 10ms to 1h", f.every)
	}
	for _, s := range f.to {
		to, err := netip.ParseAddrPort(s)
		if err != nil || to.Port() == 0 {
			return cfg, fmt.Errorf("--to %s: write an IP address and a port, like 10.0.0.2:7791", s)
		}
		cfg.To = append(cfg.To, to)
	}
	if f.listen != "" {
		if cfg.Listen, err = netip.ParseAddrPort(f.listen); err != nil || cfg.Listen.Port() == 0 {
			return cfg, fmt.Errorf("--listen %s: write an IP address and a port, like 10.0.0.21:7791", f.listen)
		}
	}
	if len(cfg.To) == 0 && !cfg.Listen.IsValid() {
		return cfg, errors.New("name a gateway to send heartbeats to (--to), or an address where gateways ask (--listen)")
	}
	if cfg.Keys, err = serverKeys(f.secret, cfg.Server); err != nil {
		return cfg, err
	}
	if len(args) > 0 {
		if cfg.Check, err = own.New(own.Config{Argv: args}); err != nil {
			return cfg, fmt.Errorf("the command behind --: %w", err)
		}
	}
	return cfg, nil
}

// serverKeys reads a secret file, which nobody else may be able to read.
func serverKeys(file, server string) (keys []heartbeat.Key, err error) {
	if file == "" {
		return nil, errors.New("--secret-file is missing: make one with `understudy keygen`, and give it to the gateways too")
	}
	content, mode, err := config.ReadSecretFile(file)
	if err != nil {
		return nil, err
	}
	if mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: others than its owner can use it; chmod 600 %s", file, mode.Perm(), file)
	}
	secret, err := config.ParseSecret(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, one := range secret {
		k, err := heartbeat.NewKey(one[:], server)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}
