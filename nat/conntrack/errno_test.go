package conntrack_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// TestKernelErrno pins what this package relies on: what the kernel answers to
// each form of a create, an update and a delete, and what it then holds.
func TestKernelErrno(t *testing.T) {
	r := snatFlow()
	create := conntrack.AppendCreate(nil, 0, &r, &conntrack.InstallOptions{})
	const upsert = conntrack.FlagCreate
	changed := r
	changed.TCP.State, changed.Timeout, changed.Mark = session.TCPCloseWait, 77, 5
	change := conntrack.AppendUpdate(nil, 0, &changed, &conntrack.UpdateOptions{})
	clash := flow(tcp, "10.0.0.3:1", "198.51.100.80:443", "198.51.100.80:443", "203.0.113.1:20001")

	const snat, natDone = session.StatusSrcNAT, session.Status(0x180)
	tests := []struct {
		name     string
		existing bool // the entry is there beforehand
		msg      []byte
		want     unix.Errno
		status   session.Status // afterwards; 0: no entry
		mark     uint32
	}{
		{"the right form", false, create, 0, natDone | snat | 0xe, 0},
		{"create exclusively, existing", true, create, unix.EEXIST, natDone | snat | 0xe, 0},
		{"create or update with NAT, existing", true, conntrack.WithFlags(create, upsert), unix.EOPNOTSUPP, natDone | snat | 0xe, 0},
		{"create or update without NAT, existing", true, conntrack.WithFlags(conntrack.Without(conntrack.AppendCreate(nil, 0, &changed, &conntrack.InstallOptions{}), conntrack.AttrNATSrc, conntrack.AttrNATDst), upsert), 0, natDone | snat | 0xe, 5},
		{"replace, existing", true, change, 0, natDone | snat | 0xe, 5},
		{"replace, absent", false, change, unix.ENOENT, 0, 0},
		{"create with the original tuple alone", false, conntrack.Without(create, conntrack.AttrTupleReply), unix.EINVAL, 0, 0},
		{"create without timeout", false, conntrack.Without(create, conntrack.AttrTimeout), unix.EINVAL, 0, 0},
		{"status without CONFIRMED", false, conntrack.WithStatus(create, 0x6), unix.EBUSY, 0, 0},
		{"status with EXPECTED", false, conntrack.WithStatus(create, 0xf), unix.EBUSY, 0, 0},
		{"status with DYING", false, conntrack.WithStatus(create, 0x20e), unix.EBUSY, 0, 0},
		{"status with NAT bits: ignored", false, conntrack.WithStatus(create, 0x1be), 0, natDone | snat | 0xe, 0},
		{"no status", false, conntrack.Without(create, conntrack.AttrStatus), 0, natDone | snat | 0x8, 0},
		{"translated reply with NAT: silently not translated", false, conntrack.WithReply(create, &r), 0, natDone | 0xe, 0},
		{"translated reply without NAT: silently not translated", false, conntrack.Without(conntrack.WithReply(create, &r), conntrack.AttrNATSrc, conntrack.AttrNATDst), 0, 0xe, 0},
		{"public address and port of another flow", true, conntrack.AppendCreate(nil, 0, &clash, &conntrack.InstallOptions{}), unix.EEXIST, natDone | snat | 0xe, 0},
		{"delete, existing", true, conntrack.AppendDelete(nil, 0, &r.Key, 0), 0, 0, 0},
		{"delete, absent", false, conntrack.AppendDelete(nil, 0, &r.Key, 0), unix.ENOENT, 0, 0},
		{"delete another incarnation", true, conntrack.AppendDelete(nil, 0, &r.Key, 12345), unix.ENOENT, natDone | snat | 0xe, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newNode(t).kernel(t)
			if tt.existing {
				must(t, install(t, k, conntrack.InstallOptions{}, r))
			}
			got, err := k.Raw(tt.msg)
			must(t, err)
			if got[0] != tt.want {
				t.Errorf("errno: want %v, got %v", tt.want, got[0])
			}
			entry, err := k.Get(r.Key)
			if tt.status == 0 {
				wantResult(t, err, conntrack.ErrNotFound)
				return
			}
			must(t, err)
			if entry.Status != tt.status {
				t.Errorf("status: want %#x, got %#x", tt.status, entry.Status)
			}
			if entry.Mark != tt.mark {
				t.Errorf("mark: want %d, got %d", tt.mark, entry.Mark)
			}
			if tt.mark != 0 && (entry.TCP.State != session.TCPCloseWait || entry.Timeout > 77) {
				t.Errorf("not updated: state %d, timeout %d", entry.TCP.State, entry.Timeout)
			}
		})
	}
}

// TestBatchAnswers: every message of a batch is handled alone, failures answer
// though nobody asked, successes do not.
func TestBatchAnswers(t *testing.T) {
	k := newNode(t).kernel(t)
	var msgs [][]byte
	var recs []session.Record
	for i := range 5 {
		r := snatFlow()
		r.SrcPort += uint16(i)
		r.ReplyDstPort += uint16(i)
		if i == 2 {
			r = recs[0]
		}
		recs = append(recs, r)
		msgs = append(msgs, conntrack.AppendCreate(nil, 0, &r, &conntrack.InstallOptions{}))
	}
	msgs[3] = conntrack.Without(msgs[3], conntrack.AttrTimeout)
	got, err := k.Raw(msgs...)
	must(t, err)
	want := []unix.Errno{0, 0, unix.EEXIST, unix.EINVAL, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errnos (-want +got):\n%s", diff)
	}
	for _, i := range []int{0, 1, 4} {
		if _, err := k.Get(recs[i].Key); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}
