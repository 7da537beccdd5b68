package splice

// Rest is a connection that was at rest for a while, and how far its server is.
type Rest struct {
	Ends
	Position
}

// noted is what is known of a connection.
type noted struct {
	Position
	round  uint32 // of Rested, in which it was heard of last
	looked uint32 // one more than that in which it was looked at last
	busy   bool   // it is one of Notes.busy
}

// hear notes that a connection was heard of.
func (n *Notes) hear(e Ends, v *noted) {
	if v.round = n.round; !v.busy {
		v.busy = true
		n.busy = append(n.busy, e)
	}
}

// Rested returns connections that were heard of before the last call, and not since: each once, until
// it is heard of anew, and so many at most. The others come with the next call. What it costs goes by how
// many were heard of.
func (n *Notes) Rested(most int) (out []Rest) {
	busy := n.busy[:0]
	for _, e := range n.busy {
		v, ok := n.of[e]
		if !ok || !v.busy || v.looked == n.round+1 {
			continue // it has ended, and begun anew perhaps
		}
		v.looked = n.round + 1
		if v.busy = v.round == n.round || len(out) == most; v.busy {
			busy = append(busy, e)
		} else {
			out = append(out, Rest{e, v.Position})
		}
		n.of[e] = v
	}
	clear(n.busy[len(busy):])
	n.busy = busy
	n.round++
	return out
}

// Take notes what another gateway has told when packets went its way. What is noted of these servers
// from before that is doubtful as well; where nothing is told of it, it may still rest.
func (n *Notes) Take(servers func(Ends) bool, told []Rest) {
	for e, v := range n.of {
		if servers(e) && !v.Told {
			v.Told = true
			n.hear(e, &v)
			n.of[e] = v
		}
	}
	for _, r := range told {
		n.room(r.Ends)
		v := noted{Position: r.Position}
		v.Told = true
		n.of[r.Ends] = v
	}
}
