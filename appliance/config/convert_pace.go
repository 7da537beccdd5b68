package config

import "understudy/garp"

// Paces are the paces of what is not announced as usual, by address and where it is.
func (c *Config) Paces() map[garp.Claim]garp.Pace {
	out := map[garp.Claim]garp.Pace{}
	for _, r := range c.Routers {
		if r.Pace == (garp.Pace{}) {
			continue
		}
		for _, a := range c.addressesOf(r) {
			out[garp.Claim{Interface: a.Interface, Addr: a.Prefix.Addr()}] = r.Pace
		}
	}
	return out
}
