package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"time"

	"understudy/appliance/config"
	"understudy/appliance/history"
	"understudy/vrrp/election"
)

// ErrUpgrade is how Run ends when another daemon is to take this one's place.
// Everything of ours is left where it is.
var ErrUpgrade = errors.New("another daemon takes over")

const (
	// absence is the budget that an upgrade asks the election for. A new program has
	// to be read from a disk that may be slow, and may have to be given up for the
	// old one.
	absence = 5 * time.Second
	// probeBound is how long a new program may take to say whether it would do.
	probeBound = 5 * time.Second
)

// Upgrade asks the program that is in the file now whether it could take our place,
// and makes way for it. With a refusal nothing has changed.
func (n *node) Upgrade(ctx context.Context) (version string, err error) {
	n.reloading.Lock() // nothing half done is left behind
	defer n.reloading.Unlock()
	if err = n.sameFile(); err == nil {
		version, err = n.probe(ctx)
	}
	if err != nil {
		n.log.Error("upgrade refused; running on", "err", err)
		n.history.note(history.Operator, "upgrade-refused", "an upgrade was refused: "+err.Error())
		return "", err
	}
	if err := n.client.Send(election.Budget{For: absence}); err != nil {
		return "", fmt.Errorf("upgrade: the election process cannot be told (is it being restarted?): %w", err)
	}
	n.log.Info("making way for another daemon", "version", n.opt.Version, "next", version)
	n.history.note(history.Operator, "upgrade", "the daemon makes way for one of version "+version)
	select {
	case n.upgradeC <- struct{}{}:
	default: // it is under way
	}
	return version, nil
}

// sameFile refuses to go on with a configuration that the election has not been told.
func (n *node) sameFile() error {
	cfg, err := config.Load(n.opt.ConfigFile)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	if !reflect.DeepEqual(cfg, n.settled.config()) {
		return fmt.Errorf("upgrade: %s has changed since it was loaded: understudy reload first", n.opt.ConfigFile)
	}
	return nil
}

// probe runs the program that is in the file now.
func (n *node) probe(ctx context.Context) (version string, err error) {
	if n.opt.Program == "" {
		return "", errors.New("upgrade: it is not known what file the program was started from; restart the service")
	}
	ctx, cancel := context.WithTimeout(ctx, probeBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.opt.Program, "probe", "--config", n.opt.ConfigFile, "--protocol", election.Protocol())
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		why := strings.TrimSpace(said.String())
		return "", fmt.Errorf("upgrade: %s cannot take over: %w\n%s", n.opt.Program, err, why[:min(len(why), 2000)])
	}
	if version = strings.TrimSpace(out.String()); version == "" {
		return "", fmt.Errorf("upgrade: %s does not say its version", n.opt.Program)
	}
	return version, nil
}

func (n *node) awaitUpgrade(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.upgradeC:
		return ErrUpgrade
	}
}
