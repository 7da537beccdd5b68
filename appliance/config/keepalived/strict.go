package keepalived

// strict takes away what strict mode does not go with, as keepalived does, and says so.
// What it changes beside that is where it belongs: who accepts, and who answers a worse
// rival.
func (c *converter) strict(in *Instance, priority, version uint8, six bool) {
	fault := func(at Place, what string) { c.say(at, Fault, "(%s) %s", in.Name, what) }
	if in.Standby.V && priority == 255 {
		fault(in.Standby.At, "State MASTER must match being address owner")
	}
	if first := in.Addresses[0]; six && !c.hasPeers(in) && !first.Prefix.Addr().IsLinkLocalUnicast() {
		fault(first.At, "the first IPv6 VIP address must be link local")
	}
	if down := c.downAdverts(in); down.Set && down.V != 3 {
		fault(down.At, "down_timer_adverts is incompatible with strict mode - resetting")
		in.Wire.DownAdverts = of(3, down.At)
	}
	if in.Accept.V && priority != 255 && version == 2 {
		fault(in.Accept.At, "warning - accept mode for VRRP version 2 does not comply with RFC3768 - resetting")
		in.Accept = of(false, in.Accept.At)
	}
	if in.LowerRepeat.V {
		fault(in.LowerRepeat.At, "Strict mode requires no repeat garps. resetting")
	}
	if in.LowerDelay.V {
		fault(in.LowerDelay.At, "Strict mode requires no repeat garp delay. resetting")
	}
	if quiet := &in.Wire.Quiet; quiet.Set && !quiet.V {
		fault(quiet.At, "Strict mode requires no lower priority advert. resetting")
		quiet.V = true
	}
	if in.HigherSends.V {
		fault(in.HigherSends.At, "strict mode requires higher_prio_send_advert to be clear. resetting")
	}
	if in.BaseMAC.V && in.VMAC.V {
		fault(in.BaseMAC.At, "xmit_base is incompatible with strict mode - resetting")
		in.BaseMAC.V = false
	}
}
