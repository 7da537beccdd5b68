package program

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// EndOrphans kills the process group of a program that a process which has died was
// running, and returns how many were in it. The program itself died with that
// process; what it had started did not. mark is a variable that was in its
// environment ("NAME=value", one that no other run had): the number of the group
// may be somebody else's by now.
func EndOrphans(pgid int, mark string) (ended int) {
	if pgid <= 1 || mark == "" {
		return 0
	}
	names, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil || group(pid) != pgid || !marked(pid, mark) {
			continue
		}
		if unix.Kill(pid, unix.SIGKILL) == nil {
			ended++
		}
	}
	return ended
}

// group reads the number of a process's group; 0 if there is no such process.
func group(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name may have blanks and brackets in it: the last one ends it.
	_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	fields := strings.Fields(rest) // state, parent, group
	if len(fields) < 3 {
		return 0
	}
	n, _ := strconv.Atoi(fields[2])
	return n
}

func marked(pid int, mark string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, b...), append(append([]byte{0}, mark...), 0))
}
