package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
)

func (c *checker) checkSessions(raw *rawSessions) {
	if raw == nil {
		return
	}
	s := &Sessions{}
	c.config.Sessions = s
	if len(raw.Listen) == 0 {
		c.add("sessions.listen", "missing", `name the address and port the other node connects to, like listen = "10.255.0.1:7788"`)
	}
	s.Listen = c.paths("sessions.listen", raw.Listen, "10.255.0.1:7788", func(path string, ap netip.AddrPort) {
		c.notMoving(path, ap.Addr(), "this node")
		if i := slices.Index(s.Listen, ap); i >= 0 {
			c.add(path, ap.String()+" is there twice", "write each address once")
		}
		s.Listen = append(s.Listen, ap)
	})
	s.Peers = c.peers(raw.Peers, s.Listen)
	s.SecretFile, s.Secret = c.secret(raw.SecretFile)
	c.checkMode(raw, s)
	s.Install = known(c, "sessions.install", raw.Install, c.defaults.Sessions.Install, []Install{InstallHot, InstallTakeover})
	s.Filter = known(c, "sessions.filter", raw.Filter, c.defaults.Sessions.Filter, []Filter{FilterAuto, FilterOn, FilterOff})
	c.checkJournal(raw, s)
	c.checkFlows(raw, s)
	c.checkModeOfClasses(raw, s)
	c.checkMirror(raw, s)
}

// maxPaths bounds the addresses of a node.
const maxPaths = 8

// paths reads the addresses of a node, the preferred one first, and has each one
// looked at.
func (c *checker) paths(path string, raw []*string, like string, look func(path string, ap netip.AddrPort)) (list []netip.AddrPort) {
	if len(raw) > maxPaths {
		c.add(path, fmt.Sprintf("%d addresses", len(raw)), fmt.Sprintf("use at most %d", maxPaths))
		return nil
	}
	for i, v := range raw {
		here := path
		if len(raw) > 1 {
			here = at(path, i)
		}
		if v == nil {
			continue
		}
		if ap, ok := c.addrPort(here, *v, like); ok {
			look(here, ap)
			list = append(list, ap)
		}
	}
	return list
}

func (c *checker) peers(raw []*rawPeer, listen []netip.AddrPort) []Peer {
	if len(raw) == 0 {
		c.add("sessions.peers", "missing: sessions go to nobody", `name the other node, like peers = [{ name = "gw2", address = "10.255.0.2:7788" }]`)
		return nil
	}
	var peers []Peer
	names := map[string]string{}
	addresses := map[netip.AddrPort]string{}
	for i, rp := range raw {
		if rp == nil {
			continue
		}
		path := at("sessions.peers", i)
		p := Peer{Name: c.name(join(path, "name"), rp.Name, `write the name that the other node has in its own file, like name = "gw2"`)}
		if p.Name != "" && p.Name == c.config.Node {
			c.add(join(path, "name"), fmt.Sprintf("%s is this node (line %d)", quote(p.Name), c.line("node")), "write the name of the other node")
		} else if first, ok := names[p.Name]; ok && p.Name != "" {
			c.add(join(path, "name"), fmt.Sprintf("%s is also the peer in line %d", quote(p.Name), c.line(first)), "name each peer once")
		} else {
			names[p.Name] = join(path, "name")
		}
		if len(rp.Address) == 0 && !c.bad(join(path, "address")) {
			c.add(join(path, "address"), "missing", `write the address that it listens on, like address = "10.255.0.2:7788"`)
		}
		p.Addresses = c.paths(join(path, "address"), rp.Address, "10.255.0.2:7788", func(path string, ap netip.AddrPort) {
			c.peerAddress(path, ap, listen)
			if first, ok := addresses[ap]; ok {
				c.add(path, fmt.Sprintf("%s is also the address of the peer in line %d", ap, c.line(first)), "write the address of this peer")
			} else {
				addresses[ap] = path
			}
		})
		peers = append(peers, p)
	}
	return peers
}

func (c *checker) peerAddress(path string, ap netip.AddrPort, listen []netip.AddrPort) {
	switch {
	case slices.Contains(listen, ap):
		c.add(path, fmt.Sprintf("%s is where this node listens (line %d)", ap, c.line("sessions.listen")), "write the address of the other node")
	case ap.Addr().IsUnspecified():
		c.add(path, ap.Addr().String()+" is no particular host", "write the address of the other node")
	default:
		c.notMoving(path, ap.Addr(), "that node")
	}
}

// notMoving refuses a router's address where one is needed that stays: the link
// between the nodes would move away from under itself.
func (c *checker) notMoving(path string, a netip.Addr, whose string) {
	for _, r := range c.routers {
		for _, p := range r.Held() {
			if onLink(p.Addr(), r.On(p.Addr())) == a.Unmap() {
				c.add(path, fmt.Sprintf("%s moves between the nodes with router %s", a, quote(r.Name)), "use an address of "+whose+" alone")
				return
			}
		}
	}
}

// secret reads the cluster secret, unless the options say to leave it alone.
func (c *checker) secret(v *string) (string, Secret) {
	const path = "sessions.secret_file"
	if v == nil || *v == "" {
		c.add(path, "missing", "make a secret with `understudy keygen`, put the same file on all nodes and name it here")
		return "", nil
	}
	const same = "the same on all nodes"
	return c.secretFile(path, *v, "copy it from the other node, or make it there and here with `understudy keygen`", same)
}

// secretFile reads a file of secrets, and returns its whole path; no secret if that
// is not wanted or was refused.
func (c *checker) secretFile(path, file, missing, same string) (string, Secret) {
	file, content, ok := c.private(path, file, missing)
	if !ok {
		return file, nil
	}
	secret, err := ParseSecret(content)
	if err != nil {
		c.add(path, fmt.Sprintf("%s: %v", file, err), "write it with `understudy keygen`, "+same)
		return file, nil
	}
	return file, secret
}

// beside is the path of a file that is named relative to this one.
func (c *checker) beside(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(c.dir, file)
}

// private reads a file that only its owner may read, and returns its whole path. Not ok:
// it was refused, or the options say to leave such files alone.
func (c *checker) private(path, file, missing string) (_ string, content []byte, ok bool) {
	file = c.beside(file)
	if c.options.ReadSecret == nil {
		return file, nil, false
	}
	content, mode, err := c.options.ReadSecret(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.add(path, file+" does not exist", missing)
	case err != nil:
		c.add(path, "cannot be read: "+err.Error(), "make it a file that the user who runs understudy can read")
	case mode.Perm()&0o077 != 0:
		c.add(path, fmt.Sprintf("%s has mode %04o: others than its owner can use it", file, mode.Perm()), "chmod 600 "+file)
	default:
		return file, content, true
	}
	return file, nil, false
}
