package election

import (
	"maps"
	"slices"
	"time"
)

// Resumable lists the groups in which a dead election was Active and whose last
// advert is young enough (two intervals) for a new one to go on. A daemon lets
// go of all other groups before it calls Respawn.
func (c *Client) Resumable() (groups []GroupState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, g := range c.groups {
		if p, ok := c.board.Read(g, now); ok && p.ResumeUntil > 0 {
			groups = append(groups, p.GroupState)
		}
	}
	return groups
}

// Respawn starts a new election after ErrLost and tells it all that the old one
// knew. The groups of resume go on as Active if the new election is there in
// time; whether it was is in the Attached that follows. If it is not, somebody
// executes the group's fence, the new election or this client: they agree by the
// board, so that a group is never resumed after it has been let go of.
func (c *Client) Respawn(resume []GroupState) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrLost
	}
	c.unwatch()
	for _, g := range resume {
		c.board.open(g.Group)
	}
	c.watch(resume)

	next := c.next
	c.next = nil
	if next == nil {
		var err error
		if next, err = c.start(c.cfg.SpawnElection); err != nil {
			return err
		}
	}
	mine, proc := next.link, next.proc
	c.election, c.since = proc, time.Now()
	go func() { _, _ = proc.Wait() }() // ends with the process
	c.link.Close()
	c.link = mine
	c.cfg.Logger.Warn("election respawned", "pid", proc.Pid, "resume", len(resume))
	return c.brief(resume)
}

// brief tells a new election everything: what it needs in order to let go comes
// before what makes it go on.
func (c *Client) brief(resume []GroupState) error {
	messages := []Message{Configure{Config: c.config}}
	if c.guard != nil {
		messages = append(messages, *c.guard)
	}
	if c.near != nil {
		messages = append(messages, *c.near)
	}
	for _, g := range slices.Sorted(maps.Keys(c.fences)) {
		messages = append(messages, c.fences[g])
	}
	for _, g := range slices.Sorted(maps.Keys(c.eligible)) {
		messages = append(messages, c.eligible[g])
	}
	for _, g := range slices.Sorted(maps.Keys(c.faults)) {
		if c.faults[g].On {
			messages = append(messages, c.faults[g])
		}
	}
	for _, g := range slices.Sorted(maps.Keys(c.weights)) {
		messages = append(messages, c.weights[g])
	}
	for _, g := range resume {
		messages = append(messages, Resume{Group: g.Group, Term: g.Term})
	}
	// The terms, or the new election would use some of them again.
	for _, g := range c.groups {
		if p, ok := c.board.Read(g, time.Now()); ok && p.Highest > 0 {
			messages = append(messages, Term{Group: g, Term: p.Highest})
		}
	}
	if c.ready {
		messages = append(messages, Ready{})
	}
	for _, m := range messages {
		if err := c.send(m); err != nil {
			return err
		}
	}
	return nil
}

// watch lets go of the groups that are not resumed in time.
func (c *Client) watch(resume []GroupState) {
	now := time.Now()
	for _, g := range resume {
		if p, ok := c.board.Read(g.Group, now); ok {
			c.guards = append(c.guards, time.AfterFunc(p.ResumeUntil, func() { c.overdue(g.Group) }))
		}
	}
}

func (c *Client) unwatch() {
	for _, t := range c.guards {
		t.Stop()
	}
	c.guards = nil
}

func (c *Client) overdue(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.board.claim(group, claimFenced) {
		return // resumed, or let go of by the new election
	}
	f := c.fences[group]
	r := c.exec.Run(f.GateClose).Add(c.exec.Run(f.Remove))
	c.cfg.Logger.Warn("no election in time: fenced", "group", group, "failed", r.Failed, "error", r.Err)
	if c.cfg.Fenced != nil {
		go c.cfg.Fenced(group, r.Err) // it may want to Send
	}
}
