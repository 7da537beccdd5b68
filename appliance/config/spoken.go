package config

import "understudy/appliance/config/keepalived"

// Spoken is a keepalived.conf that a configuration was made of.
type Spoken struct {
	File  *keepalived.File
	Names keepalived.Names // what the next reading has to know

	called map[string]string // what things are called here, by "vrrp_instance NAME" and the like
}

// Name is what a thing of the file is called here; "": nothing has become of it. Block
// is its keyword.
func (s *Spoken) Name(block, name string) string { return s.called[block+" "+name] }

// ServerGroup is the virtual_server_group that an entry point is a line of; "": none.
func (c *Config) ServerGroup(entry string) string {
	if c.Spoken == nil {
		return ""
	}
	return c.Spoken.Name("virtual_server_group of", entry)
}

// Called is what the file calls a router or a group of ours; without a file of
// keepalived's, and for a group that is not in it, the same.
func (c *Config) Called(block, name string) string {
	if c.Spoken == nil {
		return name
	}
	switch block {
	case "vrrp_instance":
		for _, in := range c.Spoken.File.Instances {
			if c.Spoken.Name(block, in.Name) == name {
				return in.Name
			}
		}
	case "vrrp_sync_group":
		for _, g := range c.Spoken.File.Groups {
			if c.Spoken.Name(block, g.Name) == name {
				return g.Name
			}
		}
	}
	return name
}
