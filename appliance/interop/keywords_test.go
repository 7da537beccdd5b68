package interop

// Keywords of 2.4, which 2.2.7 takes for none.
func init() {
	otherwise["keywords.conf"] = "vrrp_delay_after_boot is of 2.4, and unknown to 2.2.7"
	corpus = append(corpus, corpusRow{file: "keywords.conf", on: "eth0 10.71.0.2/24 10.72.0.2/24 10.73.0.2/24 10.74.0.2/24, eth1 10.75.0.2/24", cut: "eth1",
		edit: []string{"vrrp_delay_after_boot 90", ""}})
}
