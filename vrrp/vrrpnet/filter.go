package vrrpnet

import "golang.org/x/sys/unix"

// filter is the classic BPF program that lets VRRP (protocol 112) through.
//
// It loads relative to the network header, so it does not care what is in front
// of it. Frames for somebody else are refused: an adapter in promiscuous mode
// and a VLAN that nobody configured here both show them to us. So is our own
// output, which some drivers loop back.
func filter(family uint8) *unix.SockFprog {
	const (
		ancillary     = 0xfffff000 // SKF_AD_OFF
		packetType    = ancillary + 4
		networkHeader = 0xfff00000 // SKF_NET_OFF
		vrrp          = 112
	)
	protocol := uint32(networkHeader + 9) // IPv4: protocol
	if family == 6 {
		protocol = networkHeader + 6 // IPv6: next header
	}
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: packetType},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: unix.PACKET_MULTICAST, Jt: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: protocol},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: vrrp, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
}
