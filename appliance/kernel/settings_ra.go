package kernel

// AdvertisingSettings returns what interfaces need on which we send router
// advertisements.
func AdvertisingSettings(interfaces []string) (all []Setting) {
	for _, name := range interfaces {
		all = append(all, Setting{
			Key: interfaceKey("ipv6", name, "accept_ra"), Value: "0",
			Why: "a standby would take what the active box says to hosts, where accept_ra is 2: an address, and a " +
				"default route to a virtual router that it may become itself",
		})
	}
	return all
}
