package bench

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(after time.Duration, from string, data []byte) capture.Frame {
	return capture.Frame{At: noon.Add(after), From: from, Len: len(data), Data: data}
}

func advert(priority byte) []byte {
	b := make([]byte, 14+20+12)
	b[12], b[13] = 8, 0
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 255, 112
	ip[20], ip[21], ip[22] = 0x31, 51, priority
	return b
}

func announcement(addr netip.Addr) []byte {
	b := make([]byte, 14+28)
	b[12], b[13] = 8, 6
	arp := b[14:]
	arp[1], arp[2], arp[4], arp[5], arp[7] = 1, 8, 6, 4, 1
	a := addr.As4()
	copy(arp[14:], a[:])
	copy(arp[24:], a[:])
	return b
}

func TestTookIsFromTheFirstAdvertToTheLastAddress(t *testing.T) {
	const us = time.Microsecond
	lan, wan := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.1")
	other := netip.MustParseAddr("10.0.0.9")
	whole := func() []side {
		l := []capture.Frame{
			at(-5*us, "gw2", advert(100)), // before the crash
			at(1*us, "gw1", advert(200)),  // the dead one's last
			at(10*us, "gw2", advert(100)),
			at(20*us, "gw2", announcement(other)),
			at(30*us, "gw2", announcement(lan)),
			at(900*us, "gw2", announcement(lan)), // again
		}
		w := []capture.Frame{
			at(11*us, "gw2", advert(100)),
			at(12*us, "gw1", announcement(wan)),
			at(45*us, "gw2", announcement(wan)),
		}
		return []side{
			{"lan", lan, func() []capture.Frame { return l }},
			{"wan", wan, func() []capture.Frame { return w }},
		}
	}
	if got, err := took(whole(), "gw2", noon); err != nil || got != 35*us {
		t.Errorf("want 35 us, got %v, %v", got, err)
	}
	for name, frames := range map[string][]capture.Frame{
		"nothing":         nil,
		"no announcement": {at(10*us, "gw2", advert(100))},
		"no advert":       {at(30*us, "gw2", announcement(wan))},
		"only a farewell": {at(10*us, "gw2", advert(0)), at(30*us, "gw2", announcement(wan))},
	} {
		t.Run(name, func(t *testing.T) {
			sides := whole()
			sides[1].frames = func() []capture.Frame { return frames }
			if got, err := took(sides, "gw2", noon); !errors.Is(err, errNotYet) {
				t.Errorf("want %v, got %v, %v", errNotYet, got, err)
			}
		})
	}
}
