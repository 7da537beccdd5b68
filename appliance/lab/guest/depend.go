package guest

import (
	"bufio"
	"io"
	"path"
	"slices"
	"strings"
)

// dependencies is modules.dep: which modules, by their path in the tree, need
// which others.
type dependencies map[string][]string

// readDependencies reads lines of "a.ko: b.ko c.ko".
func readDependencies(r io.Reader) (dependencies, error) {
	deps := dependencies{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		module, needs, ok := strings.Cut(lines.Text(), ":")
		if ok {
			deps[module] = strings.Fields(needs)
		}
	}
	return deps, lines.Err()
}

// closure returns the modules that are below one of the directories or have one of
// the names, and all that these need, sorted.
func (d dependencies) closure(dirs, names []string) []string {
	wanted := map[string]bool{}
	var want func(module string)
	want = func(module string) {
		if wanted[module] {
			return
		}
		wanted[module] = true
		for _, m := range d[module] {
			want(m)
		}
	}
	for module := range d {
		in := slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(module, dir+"/") })
		if in || slices.Contains(names, moduleName(module)) {
			want(module)
		}
	}
	list := make([]string, 0, len(wanted))
	for m := range wanted {
		list = append(list, m)
	}
	slices.Sort(list)
	return list
}

// moduleName is the name of a module whose file may be compressed.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return name
}
