package garp

import "time"

// none is the index that points nowhere.
const none int32 = -1

// entry is one announced address and its place in a queue.
type entry struct {
	claim      Claim
	frame      int // which of its frames is next
	due        time.Time
	prev, next int32
}

// queue is a doubly linked list through the entries of an arena.
type queue struct{ head, tail int32 }

var emptyQueue = queue{none, none}

// arena keeps all entries in one slice and reuses freed places, so that a
// schedule in steady state allocates nothing.
type arena struct {
	all  []entry
	free []int32
}

func (a *arena) take(c Claim) int32 {
	if n := len(a.free); n > 0 {
		i := a.free[n-1]
		a.free = a.free[:n-1]
		a.all[i] = entry{claim: c, prev: none, next: none}
		return i
	}
	a.all = append(a.all, entry{claim: c, prev: none, next: none})
	return int32(len(a.all) - 1)
}

func (a *arena) release(i int32) {
	a.all[i] = entry{}
	a.free = append(a.free, i)
}

// insert links entry i behind the entry after, or at the head if that is none.
func (a *arena) insert(q *queue, i, after int32) {
	e := &a.all[i]
	e.prev = after
	if after == none {
		e.next, q.head = q.head, i
	} else {
		e.next, a.all[after].next = a.all[after].next, i
	}
	if e.next == none {
		q.tail = i
	} else {
		a.all[e.next].prev = i
	}
}

func (a *arena) unlink(q *queue, i int32) {
	e := &a.all[i]
	if e.prev == none {
		q.head = e.next
	} else {
		a.all[e.prev].next = e.next
	}
	if e.next == none {
		q.tail = e.prev
	} else {
		a.all[e.next].prev = e.prev
	}
	e.prev, e.next = none, none
}
