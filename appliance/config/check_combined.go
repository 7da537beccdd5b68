package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/health"
)

// checkCombined reads the checks of checks, which can be anywhere in the file.
func (c *checker) checkCombined(raw []*rawCheck) {
	number := map[string]int{}
	for i := range c.config.Checks {
		if name := c.config.Checks[i].Name; name != "" {
			number[name] = i
		}
	}
	var paths []string
	var of [][]int
	c.eachCheck(raw, func(path string, rc *rawCheck, k *Check) {
		paths, of = append(paths, path), append(of, nil)
		if combining(k.Kind) {
			of[len(of)-1] = c.members(path, rc, k, number)
			c.needed(path, rc, k)
		}
	})
	if _, cycle := health.Order(of); cycle != nil {
		var names []string
		for _, i := range append(cycle, cycle[0]) {
			names = append(names, c.config.Checks[i].Name)
		}
		c.add(join(paths[cycle[0]], "checks"), "it is made of itself: "+strings.Join(names, " of "), "take one of them out")
	}
}

func (c *checker) members(path string, raw *rawCheck, k *Check, number map[string]int) (of []int) {
	if len(raw.Checks) == 0 && !c.bad(join(path, "checks")) {
		c.add(join(path, "checks"), "missing", `name the checks that count, like checks = ["web-tcp", "web-page"]`)
	}
	for i, v := range raw.Checks {
		if v == nil {
			continue
		}
		here := at(join(path, "checks"), i)
		n, ok := number[*v]
		switch {
		case !ok:
			c.add(here, fmt.Sprintf("there is no check %s", quote(*v)), suggest(*v, c.checkNames(), "name a [[check]] of this file"))
		case slices.Contains(k.Checks, *v):
			c.add(here, quote(*v)+" is there already", "name each check once")
		case c.config.Checks[n].Value:
			c.add(here, quote(*v)+" is a number, not up or down", "name another check, or remove value from that one")
		default:
			k.Checks = append(k.Checks, *v)
			of = append(of, n)
		}
	}
	return of
}

// needed reads how many of a quorum must be up.
func (c *checker) needed(path string, raw *rawCheck, k *Check) {
	if k.Kind != CheckQuorum {
		return
	}
	if raw.Min == nil {
		c.add(join(path, "min"), "missing", "say how many of the checks must be up, like min = 2")
		return
	}
	if c.bad(join(path, "checks")) || len(raw.Checks) == 0 {
		return
	}
	k.Min = c.count(join(path, "min"), raw.Min, 1, 1, len(raw.Checks))
}

// maxPenalty bounds what a damped check is measured by.
const maxPenalty = 100_000

// damp reads how a check that goes up and down is held.
func (c *checker) damp(path string, raw *rawDamp) (d health.Damp) {
	if raw == nil {
		return d
	}
	def := c.defaults.Check.Damp
	half := c.duration(join(path, "half_life"), raw.HalfLife, "30s")
	switch {
	case raw.HalfLife == nil:
		c.add(join(path, "half_life"), "missing", `say in what time a fall is half forgotten, like half_life = "30s"`)
		return d
	case half == nil:
		return d
	case *half < 100*time.Millisecond || *half > 24*time.Hour:
		c.add(join(path, "half_life"), *raw.HalfLife+" is out of range", "use 100ms to 24h")
		return d
	}
	d.HalfLife = *half
	d.Suppress = c.count(join(path, "suppress"), raw.Suppress, def.Suppress, 1, maxPenalty)
	d.Reuse = c.count(join(path, "reuse"), raw.Reuse, def.Reuse, 1, maxPenalty)
	if d.Reuse >= d.Suppress {
		key := "reuse"
		if raw.Reuse == nil {
			key = "suppress"
		}
		c.add(join(path, key), fmt.Sprintf("a check is let go at %d, and held from %d on", d.Reuse, d.Suppress), "make reuse less than suppress")
	}
	d.Longest = dampLongest * d.HalfLife
	if l := c.duration(join(path, "longest"), raw.Longest, "2m"); l != nil {
		if d.Longest = *l; *l < d.HalfLife || *l > 7*24*time.Hour {
			c.add(join(path, "longest"), *raw.Longest+" is out of range", fmt.Sprintf("use %v (half_life) to 168h", d.HalfLife))
		}
	}
	return d
}

// dampLongest is the default of longest, in half-lives.
const dampLongest = 4
