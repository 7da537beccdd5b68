package entry

import "hash/fnv"

// Consistent fills [Slots] slots by weight so that few change when a server comes or
// goes: each server has an order of its own in which it would like the slots, and they
// take turns in getting the next that is free, as often as they weigh (Eisenbud et al.,
// Maglev: A Fast and Reliable Software Network Load Balancer, NSDI 2016, section 3.4).
// The order hangs on a server's name alone.
func Consistent(names []string, weights []int) []uint8 {
	const free = 0xff
	heaviest, servers := 0, 0
	for _, w := range weights {
		heaviest = max(heaviest, w)
		if w > 0 {
			servers++
		}
	}
	if servers == 0 {
		return nil
	}
	type wish struct{ next, skip int }
	wishes := make([]wish, len(names))
	for i, name := range names {
		h := fnv.New64a()
		h.Write([]byte(name)) // never fails
		sum := mix(h.Sum64())
		wishes[i] = wish{int(sum % Slots), 1 + int(sum/Slots%(Slots-1))}
	}
	out := make([]uint8, Slots)
	for i := range out {
		out[i] = free
	}
	credit := make([]int, len(names))
	for left := Slots; left > 0; {
		for i := range names {
			if credit[i] += weights[i]; credit[i] < heaviest || left == 0 {
				continue
			}
			credit[i] -= heaviest
			w := &wishes[i]
			for out[w.next] != free {
				w.next = (w.next + w.skip) % Slots
			}
			out[w.next] = uint8(i)
			left--
		}
	}
	return out
}

// mix spreads what differs in a few low bits over all of them (the finaliser of
// MurmurHash3, Appleby).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
