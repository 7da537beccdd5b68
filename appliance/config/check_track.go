package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"understudy/health"
)

// track reads what the routers at that place of the file track: those of both
// families alike.
func (c *checker) track(router string, raw *rawRouter) {
	var list []Track
	first := true
	for i := range c.routers {
		if c.routers[i].path != router {
			continue
		}
		if first {
			list, first = c.trackedBy(c.routers[i].Router, join(router, "track"), raw), false
		}
		c.routers[i].Track = list
	}
}

func (c *checker) trackedBy(r Router, path string, raw *rawRouter) (list []Track) {
	seen := map[Track]bool{}
	for i, v := range raw.Track {
		if v == nil {
			continue
		}
		t, ok := c.tracked(at(path, i), *v)
		if !ok {
			continue
		}
		key := Track{Kind: t.Kind, Name: t.Name}
		switch {
		case seen[key]:
			c.add(at(path, i), fmt.Sprintf("%s %s is tracked already", t.Kind, t.Name), "remove it")
			continue
		case t.Kind == TrackInterface && t.Name == r.Interface && (t.Weight != 0 || t.Reverse):
			c.add(at(path, i), t.Name+" is the router's own interface: down, it is a fault whatever its weight", "remove it")
			continue
		case r.Priority == 255 && t.Weight != 0:
			c.add(at(path, i), "a weight does not move the priority 255", "track it without a weight, or give the router a priority of 1 to 254")
			continue
		}
		seen[key] = true
		list = append(list, t)
	}
	return list
}

// tracked reads [check:|bond:|interface:]NAME[:WEIGHT][:reverse]. A bare name must be one
// that the file knows, and once: a slip there would otherwise track an interface
// that nobody has, and be in fault for ever.
func (c *checker) tracked(path, v string) (t Track, ok bool) {
	kind, name, typed := strings.Cut(v, ":")
	if !typed || kind != "interface" && kind != "check" && kind != "bond" {
		kind, name = "", v
	}
	name, weight, weighted := strings.Cut(name, ":")
	t = Track{Kind: TrackKind(kind), Name: name}
	if rest, reversed := strings.CutSuffix(":"+weight, ":reverse"); weighted && reversed {
		t.Reverse = true
		weight = strings.TrimPrefix(rest, ":")
		weighted = weight != ""
	}
	if weighted {
		if t.Weight, ok = c.weight(path, weight); !ok {
			return t, false
		}
	}
	switch t.Kind {
	case TrackInterface:
		ok = c.interfaceName(path, &name, "") != ""
	case TrackCheck:
		ok = c.trackedCheck(path, name)
	case TrackBond:
		ok = c.trackedBond(path, t)
	default:
		if t.Kind, ok = c.bare(path, name); ok && t.Kind == TrackBond {
			ok = c.trackedBond(path, t)
		}
	}
	if ok && t.Reverse && t.Kind == TrackBond {
		c.add(path, "a bond cannot be tracked in reverse", "remove it, or track one of its interfaces")
		ok = false
	}
	return t, ok
}

func (c *checker) weight(path, v string) (int, bool) {
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		c.add(path, quote(v)+" is not a weight", `write a number to add to the priority behind the name, like "check:uplink:-50"`)
	case n == 0:
		c.add(path, "the weight 0 does nothing", "leave the weight out to make it a fault, or remove the whole entry")
	case n < -health.MaxWeight || n > health.MaxWeight:
		c.add(path, fmt.Sprintf("the weight %d is out of range", n), fmt.Sprintf("use -%d to %d", health.MaxWeight, health.MaxWeight))
	default:
		return n, true
	}
	return 0, false
}

func (c *checker) trackedCheck(path, name string) bool {
	if c.hasCheck(name) {
		return c.hostful(path, name)
	}
	c.add(path, fmt.Sprintf("there is no check %s", quote(name)), suggest(name, c.checkNames(), "name a [[check]] of this file"))
	return false
}

// bare finds out what a name without a word before it means.
func (c *checker) bare(path, name string) (TrackKind, bool) {
	if !validInterface(name) && !c.hasCheck(name) {
		c.interfaceName(path, &name, "")
		return "", false
	}
	var interfaces []string
	isInterface := false
	for _, r := range c.routers {
		isInterface = isInterface || r.Interface == name
		if r.Interface != "" {
			interfaces = append(interfaces, r.Interface)
		}
	}
	switch isCheck, isBond := c.hasCheck(name), c.hasBond(name); {
	case isCheck && isBond:
		c.add(path, quote(name)+" is a check and a bond", fmt.Sprintf("write %s or %s", quote("check:"+name), quote("bond:"+name)))
		return "", false
	case isBond: // an interface, too, but who watches a bond means all of it
		return TrackBond, true
	case isCheck && isInterface:
		c.add(path, quote(name)+" is a check and an interface", fmt.Sprintf("write %s or %s", quote("check:"+name), quote("interface:"+name)))
		return "", false
	case isCheck:
		return TrackCheck, c.hostful(path, name)
	case isInterface:
		return TrackInterface, true
	}
	const what = " is no check, no bond, and the interface of no router"
	if near := nearest(name, slices.Concat(interfaces, c.checkNames(), c.bondNames())); near != "" {
		c.add(path, quote(name)+what, fmt.Sprintf("did you mean %s? Else write %s", quote(near), quote("interface:"+name)))
	} else {
		c.add(path, quote(name)+what, fmt.Sprintf("write %s if it is an interface, or add a [[check]] or a [[bond]] of that name", quote("interface:"+name)))
	}
	return "", false
}
