package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PretendCommand is the hidden command of `understudy bench` that calls [Pretend].
const PretendCommand = "pretend-ipvs"

// Socket options of IPVS (linux/ip_vs.h): IP_VS_BASE_CTL and the 64 behind it.
const (
	firstOfIPVS = 64 + 1024 + 64
	lastOfIPVS  = firstOfIPVS + 63
)

// hasIPVS tells whether the kernel has it.
func hasIPVS() bool {
	_, err := os.Stat("/proc/net/ip_vs")
	return err == nil
}

// Pretend becomes another program, for which the kernel has an IPVS that does whatever it
// is asked and has nothing to tell: a seccomp filter answers its socket options with
// success. keepalived's checker asks no more of it than that before it makes its first
// check, and then only tells it of servers that come and go; so what its checks cost can
// be measured where there is no IPVS. It returns only if it fails.
func Pretend(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	runtime.LockOSThread() // whose filter it is
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("bench: no new privileges: %w", err)
	}
	filter := ipvsFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("bench: seccomp: %w", err)
	}
	return fmt.Errorf("bench: %s: %w", path, unix.Exec(path, argv, os.Environ()))
}

// ipvsFilter lets every system call through but getsockopt and setsockopt at level IP with
// an option of IPVS, which do nothing and succeed. It looks at the low halves of struct
// seccomp_data's arguments (linux/seccomp.h), which come first on all architectures that
// this runs on.
func ipvsFilter() []unix.SockFilter {
	const (
		number, level, option = 0, 16 + 8*1, 16 + 8*2
		answer                = unix.BPF_RET | unix.BPF_K
	)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(condition uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | condition | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	return []unix.SockFilter{
		load(number),
		jump(unix.BPF_JEQ, unix.SYS_SETSOCKOPT, 1, 0),
		jump(unix.BPF_JEQ, unix.SYS_GETSOCKOPT, 0, 6),
		load(level),
		jump(unix.BPF_JEQ, unix.IPPROTO_IP, 0, 4),
		load(option),
		jump(unix.BPF_JGE, firstOfIPVS, 0, 2),
		jump(unix.BPF_JGT, lastOfIPVS, 1, 0),
		{Code: answer, K: unix.SECCOMP_RET_ERRNO}, // no error: success
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
}
