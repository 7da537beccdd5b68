package doctor

import (
	"strings"
	"testing"

	"understudy/appliance/config"
)

// Adverts in an authentication header are of another protocol, for filters too.
func TestSealedAdvertsAreOfTheirOwnProtocol(t *testing.T) {
	for kind, want := range map[config.AuthType]struct {
		protocol uint8
		word     string
	}{config.AuthPass: {112, "vrrp"}, config.AuthAH: {51, "ah"}} {
		x := &exam{cfg: &config.Config{Routers: []config.Router{{Name: "lan", Interface: "lan0", Family: 4, Version: 2, AuthType: kind, AuthPass: "secret"}}}}
		n := 0
		for _, w := range x.packets() {
			if !strings.Contains(w.what, "advert") {
				continue
			}
			if n++; w.protocol != want.protocol || !strings.Contains(w.fix, " "+want.word+" accept") {
				t.Errorf("%s: %s: protocol %d: %s", kind, w.what, w.protocol, w.fix)
			}
		}
		if n < 3 {
			t.Errorf("%s: %d kinds of adverts", kind, n)
		}
	}
}
