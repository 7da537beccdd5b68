package lognet

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ring (packet_mmap of the kernel's documentation, TPACKET_V3): blocks that the kernel fills
// with packets one after the other, and hands over when they are full, or after a time.
const (
	blockSize = 128 << 10 // more than the largest packet
	blocks    = 256
	frameSize = 2048 // of no meaning with blocks, and checked
	// blockTime is how long the kernel keeps a block that is not full. So a trickle fills the
	// ring as well, in more than a second.
	blockTime = 4 // milliseconds
)

// ring reads packets from a packet socket without a call a packet.
type ring struct {
	fd   int
	mem  []byte
	next int // block
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// openRing opens one for what leaves by an interface of this network namespace.
func openRing(index int) (*ring, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // of no protocol: nothing comes yet
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	r := &ring{fd: fd}
	if err := r.open(index); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *ring) open(index int) (err error) {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return os.NewSyscallError("setsockopt PACKET_VERSION", err)
	}
	form := &unix.TpacketReq3{Block_size: blockSize, Block_nr: blocks, Frame_size: frameSize, Frame_nr: blocks * blockSize / frameSize, Retire_blk_tov: blockTime}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, form); err != nil {
		return os.NewSyscallError("setsockopt PACKET_RX_RING", err)
	}
	if r.mem, err = unix.Mmap(r.fd, 0, blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	return os.NewSyscallError("bind", unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}))
}

func (r *ring) close() (err error) {
	if r.mem != nil {
		err = os.NewSyscallError("munmap", unix.Munmap(r.mem))
	}
	return errors.Join(err, os.NewSyscallError("close", unix.Close(r.fd)))
}

// wait waits until a block has come, for so long at most.
func (r *ring) wait(d time.Duration) error {
	p := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR}}
	if _, err := unix.Poll(p, int(d/time.Millisecond)); err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	if p[0].Revents&unix.POLLERR == 0 {
		return nil
	}
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code) // ENETDOWN: the interface has gone
	}
	return err
}

// Status of a block and of a packet (linux/if_packet.h).
const ofUser = 1 // TP_STATUS_USER

// packet is one of the ring's.
type packet struct {
	data     []byte // from its IP header on
	whole    bool   // nothing of it was cut off
	unsummed bool   // its checksum has still to be made
}

// block has the packets of the next block be taken, and tells whether there was one. They are valid
// during the call.
func (r *ring) block(take func(packet)) bool {
	mem := r.mem[r.next*blockSize : (r.next+1)*blockSize]
	head := &(*unix.TpacketBlockDesc)(unsafe.Pointer(&mem[0])).Hdr
	desc := (*unix.TpacketHdrV1)(unsafe.Pointer(&head[0]))
	if atomic.LoadUint32(&desc.Block_status)&ofUser == 0 {
		return false
	}
	at := desc.Offset_to_first_pkt
	for range desc.Num_pkts {
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&mem[at]))
		from := at + uint32(h.Net)
		take(packet{data: mem[from : from+h.Snaplen], whole: h.Snaplen == h.Len, unsummed: h.Status&unix.TP_STATUS_CSUMNOTREADY != 0})
		at += h.Next_offset
	}
	atomic.StoreUint32(&desc.Block_status, 0) // the kernel's again
	r.next = (r.next + 1) % blocks
	return true
}

// lost is how many packets found the ring full since it was asked last.
func (r *ring) lost() (uint32, error) {
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt PACKET_STATISTICS", err)
	}
	return s.Drops, nil
}
