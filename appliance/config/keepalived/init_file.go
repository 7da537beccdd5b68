package keepalived

import "strconv"

// initFile reads "init_file [VALUE] [overwrite]".
func (p *parser) initFile(f *TrackFile, n *Node) {
	f.Init = of(0, n.At)
	for _, a := range n.Args {
		v, err := strconv.ParseInt(a, 10, 32)
		switch {
		case a == "overwrite":
			f.Overwrite = true
		case err != nil:
			p.say(n.At, Fault, "Unknown track file init option %s", a)
		default:
			f.Init.V = int(v)
		}
	}
}

// initFile says what is written into the file of a check when the node starts.
func (c *converter) initFile(t *Table, f *TrackFile) {
	if !f.Init.Set {
		return
	}
	o := Origin{f.Init.At, "init_file"}
	t.set("init", f.Init.V, o)
	if f.Overwrite {
		t.set("init_overwrite", true, o)
	}
}
