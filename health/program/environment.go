package program

import (
	"slices"
	"strings"
)

// usualPath is what programs are looked for in that are named without a directory.
const usualPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// notInherited are what nobody hands down: they change what a shell splits at, and
// which code a program consists of.
var notInherited = []string{"IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "UNDERSTUDY_FORKED"}

// inherited is the environment of a program that has ours.
func inherited(ours []string) (out []string) {
	path := false
	for _, v := range ours {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains(notInherited, name) {
			continue
		}
		path = path || name == "PATH"
		out = append(out, v)
	}
	if !path {
		out = append(out, usualPath)
	}
	return out
}

// environment is that of one run.
func (p *Program) environment(more []string) []string {
	env := p.env
	if env == nil {
		env = []string{usualPath, "HOME=" + p.home, "LC_ALL=C"}
	}
	return slices.Concat(env, more)
}
