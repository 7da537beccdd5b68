package config

import (
	"fmt"
	"maps"
	"slices"

	"understudy/health"
)

// maxMembers is more than any bond has.
const maxMembers = 256

func (c *checker) checkBonds(raw []*rawBond) {
	c.bonds = map[string]string{}
	for i, rb := range raw {
		if rb == nil {
			continue
		}
		path := at("bond", i)
		b := c.bond(path, rb)
		c.unique(c.bonds, path, b.Name, "bond", "write each bond once")
		c.config.Bonds = append(c.config.Bonds, b)
	}
}

func (c *checker) bond(path string, raw *rawBond) Bond {
	def := c.defaults.Bond
	b := Bond{Name: c.interfaceName(join(path, "name"), raw.Name, `name the bond or team, like name = "bond0"`)}
	b.MinLinks = c.count(join(path, "min_links"), raw.MinLinks, def.MinLinks, 1, maxMembers)
	b.FailOn = known(c, join(path, "fail_on"), raw.FailOn, def.FailOn, []FailOn{FailOnCritical, FailOnMinLinks})
	if raw.WeightPerMember != nil {
		b.WeightPerMember = c.lossWeight(join(path, "weight_per_member"), *raw.WeightPerMember)
	}
	return b
}

// lossWeight checks what is added for each lost member.
func (c *checker) lossWeight(path string, n int64) int {
	if n >= 0 || n < -health.MaxWeight {
		c.add(path, fmt.Sprintf("%d is out of range", n), fmt.Sprintf("use -%d to -1: it is added for each member that is lost", health.MaxWeight))
		return 0
	}
	return int(n)
}

func (c *checker) hasBond(name string) bool { return c.bonds[name] != "" }

func (c *checker) bondNames() []string { return slices.Sorted(maps.Keys(c.bonds)) }

func (c *checker) trackedBond(path string, t Track) bool {
	if !c.hasBond(t.Name) {
		c.add(path, fmt.Sprintf("there is no bond %s", quote(t.Name)), suggest(t.Name, c.bondNames(), "name a [[bond]] of this file"))
		return false
	}
	if t.Weight > 0 {
		c.add(path, fmt.Sprintf("the weight %d would reward a lost member", t.Weight), "use a negative weight: it is added for each member that is lost")
		return false
	}
	return true
}
