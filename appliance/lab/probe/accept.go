package probe

import "net"

// Accept serves the connections that come to l, each on a goroutine of its own, and
// closes each when talk is done with it. It ends when l is closed.
func Accept(l net.Listener, talk func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
}
