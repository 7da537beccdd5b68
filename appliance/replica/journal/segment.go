package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"understudy/nat/session"
)

const (
	suffix   = ".journal"
	lockName = "lock"
)

// segment is a file of the journal.
type segment struct {
	path     string
	sequence uint64
	size     int64
	head     *session.JournalHead // nil: not read, or damaged
}

func segmentName(sequence uint64) string { return fmt.Sprintf("%016x%s", sequence, suffix) }

// list returns the segments in dir in their order; none, if there is no such
// directory.
func list(dir string) (segs []segment, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, ours := strings.CutSuffix(e.Name(), suffix)
		n, err := strconv.ParseUint(digits, 16, 64)
		if !ours || err != nil || segmentName(n) != e.Name() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		segs = append(segs, segment{path: filepath.Join(dir, e.Name()), sequence: n, size: info.Size()})
	}
	slices.SortFunc(segs, func(a, b segment) int { return cmp.Compare(a.sequence, b.sequence) })
	return segs, nil
}

func sizeOf(segs []segment) (sum int64) {
	for i := range segs {
		sum += segs[i].size
	}
	return sum
}
