package keepalived

// static reads a block of what does not move.
func (p *parser) static(n *Node) {
	s := &p.file.Static
	if s.At.Line == 0 {
		s.At = n.At
	}
	switch n.Word {
	case "static_ipaddress":
		s.Addresses = append(s.Addresses, p.addresses(static.name, n)...)
	case "static_routes":
		s.Routes = append(s.Routes, n.Children...)
	case "static_rules":
		s.Rules = append(s.Rules, n.Children...)
	}
}

// defaultInterface is where addresses are that do not move and say nothing.
const defaultInterface = "eth0"
