package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"understudy/appliance/config"
	"understudy/appliance/config/keepalived"
	"understudy/appliance/kernel"
	"understudy/vrrp/election"
)

// NotCarried is what the log says of a line of keepalived.conf that has no effect.
const NotCarried = "not carried over from keepalived's language"

// load reads the configuration file. Before is what things in it are called already.
func (o *Options) load(before *keepalived.Names) (*config.Config, error) {
	s := config.SpokenOptions{Before: before, Runs: true, Tunnels: CanTunnel}
	if k := o.Keepalived; k != nil {
		s.Keepalived, s.ID, s.VRRPOnly = true, k.ID, k.VRRP
	}
	return config.LoadSpoken(o.ConfigFile, s)
}

// namesOf are the names that a configuration goes by; nil: they are those of its file.
func namesOf(cfg *config.Config) *keepalived.Names {
	if cfg.Spoken == nil {
		return nil
	}
	return &cfg.Spoken.Names
}

// namesFile keeps them for a daemon that takes this one's place beside a running
// election: what a reload has renamed is the same to that.
const namesFile = "names.json"

func namesPath() (string, error) {
	dir, err := kernel.RuntimeDir(RunDir)
	return filepath.Join(dir, namesFile), err
}

// ForgetNames has everything be called as its file has it. For an election that starts.
func ForgetNames() {
	if path, err := namesPath(); err == nil {
		_ = os.Remove(path) // it is not there, or there is nothing to be done
	}
}

func rememberedNames(log *slog.Logger) *keepalived.Names {
	path, err := namesPath()
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var names keepalived.Names
	if err == nil {
		err = json.Unmarshal(b, &names)
	}
	if err != nil {
		log.Warn("names of before are lost: what was renamed begins anew", "err", err)
		return nil
	}
	return &names
}

func (n *node) rememberNames(cfg *config.Config) {
	if cfg.Spoken == nil {
		return
	}
	path, err := namesPath()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	var b []byte
	if err == nil {
		b, err = json.Marshal(cfg.Spoken.Names)
	}
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		n.log.Warn("names are not kept for another daemon", "err", err)
	}
}

// reloadAsked reloads because of a signal, and tells the election how that ended.
func (n *node) reloadAsked(ctx context.Context) {
	told := election.Reloaded{}
	if err := n.Reload(ctx); err != nil { // it has logged it
		told.Error = err.Error()
	}
	if err := n.client.Send(told); err != nil && !errors.Is(err, election.ErrLost) {
		n.log.Debug("telling of the reload", "err", err)
	}
}
