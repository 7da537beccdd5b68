package identity

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNewDevice(t *testing.T) {
	for _, c := range []struct {
		parent       string
		vrid, family uint8
		want         string
	}{
		{"lan0", 51, 4, "us4-51-lan0 on lan0 mac 00:00:5e:00:01:33"},
		{"lan0", 51, 6, "us6-51-lan0 on lan0 mac 00:00:5e:00:02:33"},
		{"enp1s0f", 255, 4, "us4-255-enp1s0f on enp1s0f mac 00:00:5e:00:01:ff"},
		{"enp1s0f0", 255, 4, "us4-255-idhe0f0 on enp1s0f0 mac 00:00:5e:00:01:ff"},
		{"enp1s0f1", 255, 4, "us4-255-5rhe0f1 on enp1s0f1 mac 00:00:5e:00:01:ff"},
		{"eth0.100", 7, 4, "us4-7-eth0.100 on eth0.100 mac 00:00:5e:00:01:07"},
	} {
		d := NewDevice(c.parent, c.vrid, c.family)
		if got := d.String(); got != c.want {
			t.Errorf("want %s, got %s", c.want, got)
		}
		if !d.Ours() || d.Family() != c.family {
			t.Errorf("%s is not known as ours, of family %d", d, c.family)
		}
	}
}

func TestWhatIsNotOurs(t *testing.T) {
	mac := NewDevice("lan0", 51, 4).MAC
	for _, d := range []Device{
		{Name: "us4-51-lan0", MAC: [6]byte{2, 0, 0, 0, 0, 1}},
		{Name: "us4-52-lan0", MAC: mac},
		{Name: "us6-51-lan0", MAC: mac},
		{Name: "us4-051-lan0", MAC: mac},
		{Name: "us4-51-", MAC: mac},
		{Name: "us4-51", MAC: mac},
		{Name: "usb0", MAC: mac},
		{Name: "vrrp.51", MAC: mac},
		{Name: "us4-0-lan0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 0}},
		{Name: "us4-307-lan0", MAC: mac},
	} {
		if d.Ours() {
			t.Errorf("%s is taken for ours", d)
		}
	}
}

// A device's name is one that the kernel takes, and says all there is to know.
func TestDeviceNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parent := rapid.StringMatching(`[a-z][a-z0-9.]{0,14}`).Draw(t, "parent")
		vrid := rapid.Uint8Range(1, 255).Draw(t, "vrid")
		family := rapid.SampledFrom([]uint8{4, 6}).Draw(t, "family")
		d := NewDevice(parent, vrid, family)
		if len(d.Name) > longestName || !d.Ours() || d.Family() != family {
			t.Fatalf("%+v", d)
		}
		other := NewDevice(parent, vrid^1, family)
		if other.Name == d.Name || other.MAC == d.MAC {
			t.Fatalf("%s and %s", d, other)
		}
	})
}

func TestDevicesArePartOfTheIdentity(t *testing.T) {
	a := addr("us4-51-lan0", "10.0.0.1/24")
	lan, wan := NewDevice("lan0", 51, 4), NewDevice("wan0", 52, 4)
	bare := New(a)
	both := bare.With(wan, lan, wan)
	if want := "device " + lan.String() + "\ndevice " + wan.String() + "\naddress 10.0.0.1/24 dev us4-51-lan0\n"; both.String() != want {
		t.Errorf("want %q, got %q", want, both.String())
	}
	if both.Equal(bare) || !both.Equal(Union(bare.With(lan), bare.With(wan))) {
		t.Error("devices do not count")
	}
	add, del := DiffDevices(bare.With(lan), bare.With(wan))
	if len(add) != 1 || add[0] != wan || len(del) != 1 || del[0] != lan {
		t.Errorf("add %v, del %v", add, del)
	}
	if len(bare.Devices) != 0 {
		t.Error("With changed its receiver")
	}
}
