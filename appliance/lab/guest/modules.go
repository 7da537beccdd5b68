package guest

// Modules are kernel modules that belong together, each as `modprobe` takes it:
// its name, then parameters.
type Modules []string

// What tests ask for. All that a module depends on is loaded with it.
var (
	Bonding   = Modules{"af_packet", "veth", "bonding max_bonds=0"}
	Team      = Modules{"af_packet", "veth", "team", "team_mode_activebackup", "team_mode_loadbalance", "team_mode_roundrobin"}
	IPVS      = Modules{"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh", "ip_vs_mh"}
	Tunnels   = Modules{"ipip", "ip6_tunnel", "ip_gre", "ip6_gre", "fou", "fou6"}
	Softdog   = Modules{"softdog"}
	VLAN      = Modules{"veth", "8021q"}
	Flowtable = Modules{"nf_tables", "nf_flow_table", "nf_flow_table_inet", "nft_flow_offload"}
	Nftables  = Modules{"nf_tables", "nf_conntrack"} // by itself the kernel refuses one of two that ask at once, as with Bridge
	Netem     = Modules{"veth", "sch_netem"}
	Classify  = Modules{"veth", "sch_ingress", "cls_matchall", "act_gact"}
	Bridge    = Modules{"veth", "bridge"} // the lab's segments; of two that are the first at once, the kernel refuses one
	VRF       = Modules{"veth", "vrf"}
	Dummy     = Modules{"dummy numdummies=0"}
)

// shipped says which modules are in the initrd: everything below these
// directories of the module tree, and what that depends on. It is more than the
// sets above, for the kernel loads by itself what a system call asks for.
var shipped = []string{
	"kernel/net/netfilter", "kernel/net/ipv4", "kernel/net/ipv6", "kernel/net/bridge",
	"kernel/net/packet", "kernel/net/xfrm", "kernel/net/8021q", "kernel/net/802", "kernel/net/sched", "kernel/net/netlink", "kernel/net/unix",
	"kernel/drivers/net/bonding", "kernel/drivers/net/team", "kernel/drivers/net/vxlan", "kernel/drivers/net/ipvlan",
}

// shippedAlso are single ones, of directories that have much besides.
var shippedAlso = []string{
	"veth", "dummy", "macvlan", "vrf", "tun", "ifb", "nlmon", "softdog",
	"crc32c_generic", // libcrc32c asks the kernel for it by its algorithm
}

// options are given to modules that the kernel loads by itself: neither is to make
// devices that nobody asked for.
const options = "options bonding max_bonds=0\noptions dummy numdummies=0\noptions ifb numifbs=0\n"
