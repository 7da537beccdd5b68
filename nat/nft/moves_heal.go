package nft

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"understudy/nat/splice"
)

// Heal ends what a program has left that died while it moved connections, and would last until its time
// is over: nothing is frozen any more, and a server is heard again on a connection that is still
// its own, which serves is asked. Nobody else may use the table meanwhile. It tells how many ways of
// packets are free again.
func (m *Moves) Heal(serves func(splice.Ends) (bool, error)) (freed int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if freed, err = m.heal(serves); err != nil {
		_ = m.link.close() // with what is queued in it
		return 0, fmt.Errorf("nft: moves: heal: %w", err)
	}
	return freed, nil
}

func (m *Moves) heal(serves func(splice.Ends) (bool, error)) (freed int, err error) {
	c, err := m.link.conn()
	if err != nil {
		return 0, err
	}
	sets, err := c.GetSets(movesTable())
	if errors.Is(err, unix.ENOENT) { // no table
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	t := &transaction{c: c, table: movesTable()}
	for _, s := range sets {
		for _, f := range bothFamilies() {
			free, ok := map[string]func(splice.Ends) (bool, error){
				f.name(setFrozen): always, f.name(setOwn): always, f.name(setFenced): serves}[s.Name]
			if !ok {
				continue
			}
			n, err := t.free(f, s, free)
			if err != nil {
				return 0, fmt.Errorf("set %s: %w", s.Name, err)
			}
			freed += n
		}
	}
	return freed, m.link.commit(t)
}

// free queues that ways are in a set no more that are to be free.
func (t *transaction) free(f family, s *nftables.Set, is func(splice.Ends) (bool, error)) (int, error) {
	left, err := t.c.GetSetElements(s)
	if err != nil {
		return 0, err
	}
	var free []element
	for _, e := range left {
		way, ok := f.unknownFlow(e.Key)
		if !ok {
			continue
		}
		ok, err := is(splice.Ends{Server: way.Source, Client: way.Destination})
		if err != nil {
			return 0, err
		}
		if ok {
			free = append(free, wayElement(way.Source, way.Destination))
		}
	}
	return len(free), t.takeOut(f.waysSet(strings.TrimSuffix(s.Name, f.suffix), s.Timeout), free)
}

func always(splice.Ends) (bool, error) { return true, nil }
