package config

import (
	"fmt"
	"slices"
)

// checkGroups reads the groups, and makes one for each router that is in none.
func (c *checker) checkGroups(raw []*rawGroup) {
	routers := c.routerNames()
	groupAt := map[string]string{}  // name of a group -> path of it
	memberOf := map[string]string{} // name of a router -> path of its mention
	for i, rg := range raw {
		if rg == nil {
			continue
		}
		path := at("group", i)
		g := Group{Name: c.name(join(path, "name"), rg.Name, `name the group, like name = "gateway"`)}
		c.unique(groupAt, path, g.Name, "group", "give each group a name of its own")
		if len(rg.Routers) == 0 {
			c.add(join(path, "routers"), "missing: a group without routers", `list the routers that move together, like routers = ["lan", "wan"]`)
		}
		for j, name := range rg.Routers {
			if name == nil {
				continue
			}
			p := at(join(path, "routers"), j)
			first, taken := memberOf[*name]
			switch {
			case !c.hasRouter(*name):
				c.add(p, fmt.Sprintf("there is no router %s", quote(*name)), suggest(*name, routers, "name a router of this file"))
			case taken:
				c.add(p, fmt.Sprintf("router %s is in a group already (line %d)", quote(*name), c.line(first)), "name it in one group, once")
			default:
				memberOf[*name] = p
				g.Routers = append(g.Routers, *name)
			}
		}
		c.ownersAlike(join(path, "routers"), g)
		g.Notify = c.notifications(join(path, "notify"), rg.Notify)
		g.Mail = c.mailed(join(path, "mail"), rg.Mail, MailGroups)
		c.config.Groups = append(c.config.Groups, g)
	}
	for _, name := range routers {
		if _, ok := memberOf[name]; ok {
			continue
		}
		if first, ok := groupAt[name]; ok {
			c.add(first, fmt.Sprintf("router %s is in no group, so its own group has this name", quote(name)), "name the group otherwise, or list the router in it")
			continue
		}
		memberOf[name] = name
		c.config.Groups = append(c.config.Groups, Group{Name: name, Routers: []string{name}})
	}
}

func (c *checker) hasRouter(name string) bool {
	for _, r := range c.routers {
		if r.Name == name && name != "" {
			return true
		}
	}
	return false
}

// routerNames lists what routers are called, each once: two of one name are of
// two families.
func (c *checker) routerNames() (names []string) {
	for _, r := range c.routers {
		if r.Name != "" && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

// hasFamily tells whether the router with that name has addresses of the family.
func (c *checker) hasFamily(name string, family uint8) bool {
	return slices.ContainsFunc(c.routers, func(r routerAt) bool { return r.Name == name && r.Family == family })
}
