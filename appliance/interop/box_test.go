package interop

import (
	"fmt"
	"time"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/lab"
)

// Where our files are, inside a node.
const (
	configPath = "/run/lab/understudy.toml"
	socketPath = "/run/understudy/control.sock"
)

// box is a node with the program under test.
type box struct {
	*scene
	*lab.Node
	proc   *lab.Process
	client *control.Client
}

// run starts `understudy run` with a configuration.
func (b *box) run(config string) {
	b.t.Helper()
	b.must(b.WriteFile(configPath, []byte(fmt.Sprintf("node = %q\n%s", b.Name, config)), 0o644))
	var err error
	b.proc, err = b.Start(program, "run", "--config", configPath, "--control", socketPath)
	b.must(err)
	b.logs(b.proc, b.Name)
	path, err := b.Path(socketPath)
	b.must(err)
	b.client = control.NewClient(path)
	b.t.Cleanup(b.client.Close)
}

// status asks the program.
func (b *box) status() (appliance.Status, error) {
	select {
	case <-b.proc.Done():
		b.t.Fatalf("%s has ended: %v", b.Name, b.proc.Err())
	default:
	}
	return b.client.Status(b.within(patience))
}

// router asks the program about one of its routers.
func (b *box) router(name string) (appliance.RouterStatus, error) {
	st, err := b.status()
	if err != nil {
		return appliance.RouterStatus{}, err
	}
	for _, r := range st.Routers {
		if r.Name == name {
			return r, nil
		}
	}
	return appliance.RouterStatus{}, fmt.Errorf("%s has no router %s", b.Name, name)
}

// is is a condition: the router is in that state.
func (b *box) is(router, state string) func() error {
	return func() error {
		r, err := b.router(router)
		if err == nil && r.State != state {
			err = fmt.Errorf("%s is %s (%s), not %s", router, r.State, r.Reason, state)
		}
		return err
	}
}

// end stops the program in good order.
func (b *box) end() {
	b.t.Helper()
	b.must(b.proc.Stop(patience))
}

// router is a [[router]] of our configuration.
func routerTOML(name, iface string, vrid uint8, set settings, addresses string, more string) string {
	text := fmt.Sprintf("[[router]]\nname = %q\ninterface = %q\nvrid = %d\npriority = %d\nadvertise = %q\npreempt = %t\naddresses = [%s]\n%s\n",
		name, iface, vrid, set.priority, set.interval, !set.noPreempt, addresses, more)
	if set.checksum != "" {
		text += fmt.Sprintf("checksum = %q\n", set.checksum)
	}
	return text
}

// settings are what a scenario chooses of a router.
type settings struct {
	priority  int
	interval  time.Duration
	noPreempt bool
	checksum  string // of ours only
}
