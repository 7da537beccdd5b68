package config

import (
	"fmt"
	"slices"
	"time"
)

// Link is how long an interface has to stay as it is before that counts.
type Link struct {
	Interface          string
	DownDelay, UpDelay time.Duration // 0: at once
}

// maxLinkDelay is keepalived's.
const maxLinkDelay = 255 * time.Second

// checkLinks reads them when the routers have been read.
func (c *checker) checkLinks(raw []*rawLink) {
	seen := map[string]string{}
	for i, rl := range raw {
		if rl == nil {
			continue
		}
		path := at("link", i)
		l := Link{
			Interface: c.interfaceName(join(path, "interface"), rl.Interface, `name it, like interface = "eth0"`),
			DownDelay: c.upTo(join(path, "down_delay"), rl.DownDelay, 0, time.Millisecond, maxLinkDelay),
			UpDelay:   c.upTo(join(path, "up_delay"), rl.UpDelay, 0, time.Millisecond, maxLinkDelay),
		}
		if l.Interface == "" {
			continue
		}
		first, again := seen[l.Interface]
		seen[l.Interface] = join(path, "interface")
		switch {
		case again:
			c.add(seen[l.Interface], fmt.Sprintf("%s is also the interface of the link in line %d", l.Interface, c.line(first)), "write its delays there")
		case rl.DownDelay == nil && rl.UpDelay == nil:
			c.add(path, "no delay", `write down_delay or up_delay, like down_delay = "500ms"`)
		case !c.dependOn(l.Interface):
			c.add(seen[l.Interface], l.Interface+" is the interface of no router, and tracked by none", "name one that is, or remove the table")
		default:
			c.inTime(join(path, "down_delay"), l)
			c.config.Links = append(c.config.Links, l)
		}
	}
}

// dependOn tells whether a link matters to any router.
func (c *checker) dependOn(iface string) bool {
	return slices.ContainsFunc(c.routers, func(r routerAt) bool {
		return r.Interface == iface || slices.ContainsFunc(r.Track, func(t Track) bool { return t.Kind == TrackInterface && t.Name == iface })
	})
}

// inTime refuses a delay after which a router would have taken over before it knows that it heard nothing because its own
// link is down.
func (c *checker) inTime(path string, l Link) {
	for _, r := range c.routers {
		if r.Interface != l.Interface || !r.TrackOwn || r.Advertise == 0 || r.DownAdverts == 0 || l.DownDelay == 0 {
			continue
		}
		bound := time.Duration(r.DownAdverts-1) * r.Advertise
		switch {
		case l.DownDelay < bound:
			continue
		case bound == 0:
			c.add(path, fmt.Sprintf("router %s takes over after a single advert that does not come: there is no time to wait", r.Name),
				"remove it, or give the router more down_adverts")
		default:
			c.add(path, fmt.Sprintf("%s is too long: router %s would take over before it knows that its link is down", plain(l.DownDelay), r.Name),
				fmt.Sprintf("use less than %s, its interval times its down_adverts less one", plain(bound)))
		}
		return
	}
}

// delaysOf are those of an interface.
func (c *Config) delaysOf(iface string) (down, up time.Duration) {
	for _, l := range c.Links {
		if l.Interface == iface {
			return l.DownDelay, l.UpDelay
		}
	}
	return 0, 0
}
