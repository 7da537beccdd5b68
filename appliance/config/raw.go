package config

// The raw structs are the grammar of the file, one field a key, in the order in
// which the documentation lists them. Every field is a pointer, a list of
// pointers or any, so that a key that is not written, or that was refused, is
// nil and nothing else is.
//
// Tags:
//
//	toml   the key
//	like   an example value, shown when the type is wrong
//	one    a list that may be written as its only element
type (
	rawFile struct {
		Node       *string `toml:"node" like:"\"gw1\""`
		Forwarding *bool   `toml:"forwarding" like:"true"`
		Guard      *string `toml:"guard" like:"\"alarm\""`
		GuardLimit *string `toml:"guard_limit" like:"\"10s\""`
		GuardCheck *string `toml:"guard_check" like:"\"neighbour\""`
		GuardPort  *int64  `toml:"guard_port" like:"7789"`

		StartupDelay   *string `toml:"startup_delay" like:"\"30s\""`
		DelayAfterBoot *string `toml:"delay_after_boot" like:"\"2m\""`

		Watchdog        *string `toml:"watchdog" like:"\"/dev/watchdog\""`
		WatchdogTimeout *string `toml:"watchdog_timeout" like:"\"30s\""`

		Static   *rawStanding `toml:"static"`
		Routers  []*rawRouter `toml:"router"`
		Groups   []*rawGroup  `toml:"group"`
		NAT      *rawNAT      `toml:"nat"`
		Checks   []*rawCheck  `toml:"check"`
		Bonds    []*rawBond   `toml:"bond"`
		Links    []*rawLink   `toml:"link"`
		Sessions *rawSessions `toml:"sessions"`
		Pipes    []*rawPipe   `toml:"pipe"`
		Mail     *rawMail     `toml:"mail"`
		Web      *rawWeb      `toml:"web"`
	}

	rawPipe struct {
		Path    *string   `toml:"path" like:"\"/run/understudy/events\""`
		Tell    []*string `toml:"tell" like:"[\"routers\", \"servers\"]"`
		Command []*string `toml:"command" like:"[\"/etc/understudy/reader\"]"`
		User    *string   `toml:"user" like:"\"nobody\""`
		Repeat  *bool     `toml:"repeat" like:"true"`
	}

	rawMail struct {
		Server  *string   `toml:"server" like:"\"192.0.2.25\""`
		From    *string   `toml:"from" like:"\"understudy@gw1.example.org\""`
		To      []*string `toml:"to" like:"[\"ops@example.org\"]" one:"true"`
		Helo    *string   `toml:"helo" like:"\"gw1.example.org\""`
		Timeout *string   `toml:"timeout" like:"\"30s\""`
		Tell    []*string `toml:"tell" like:"[\"routers\", \"servers\"]"`
		Faults  *bool     `toml:"faults" like:"true"`
	}

	rawLink struct {
		Interface *string `toml:"interface" like:"\"eth0\""`
		DownDelay *string `toml:"down_delay" like:"\"500ms\""`
		UpDelay   *string `toml:"up_delay" like:"\"2s\""`
	}

	rawWeb struct {
		Listen    *string `toml:"listen" like:"\"127.0.0.1:7790\""`
		TokenFile *string `toml:"token_file" like:"\"/etc/understudy/token\""`
	}

	rawRouter struct {
		Name         *string   `toml:"name" like:"\"lan\""`
		Interface    *string   `toml:"interface" like:"\"eth0\""`
		VRID         *int64    `toml:"vrid" like:"51"`
		Priority     *int64    `toml:"priority" like:"200"`
		Advertise    *string   `toml:"advertise" like:"\"100ms\""`
		Addresses    []*string `toml:"addresses" like:"[\"10.0.0.1/24\"]"`
		Excluded     []*string `toml:"excluded" like:"[\"10.0.1.1/24\"]"`
		MAC          *string   `toml:"mac" like:"\"interface\""`
		Track        []*string `toml:"track" like:"[\"check:uplink:-50\"]"`
		TrackOwn     *bool     `toml:"track_own" like:"true"`
		Preempt      *bool     `toml:"preempt" like:"true"`
		PreemptDelay *string   `toml:"preempt_delay" like:"\"30s\""`
		Settle       *string   `toml:"settle" like:"\"2s\""`
		Accept       *bool     `toml:"accept" like:"true"`
		Checksum     *string   `toml:"checksum" like:"\"auto\""`
		Version      *int64    `toml:"version" like:"3"`
		AuthType     *string   `toml:"auth_type" like:"\"pass\""`
		AuthPass     *string   `toml:"auth_pass" like:"\"secret\""`
		Unicast      []*string `toml:"unicast" like:"[\"10.0.0.3\"]"`
		UnicastTTL   *int64    `toml:"unicast_ttl" like:"64"`
		Source       *string   `toml:"source" like:"\"10.0.0.2\""`
		Multicast    []*string `toml:"multicast" like:"\"224.0.0.18\"" one:"true"`
		LinkLocal    *bool     `toml:"link_local" like:"true"`
		AdvertMAC    *string   `toml:"advert_mac" like:"\"interface\""`
		DownAdverts  *int64    `toml:"down_adverts" like:"3"`
		Assert       *bool     `toml:"assert" like:"true"`

		Routes []*rawRoute `toml:"routes"`
		Rules  []*rawRule  `toml:"rules"`
		Pace   *rawPace    `toml:"announce" like:"{ repeat = 5, again = \"5s\" }"`
		RA     *rawRA      `toml:"ra" like:"{ interval = \"10m\" }"`

		Notify       []*rawNotify `toml:"notify"`
		TellPriority *bool        `toml:"tell_priority" like:"true"`
		Mail         *bool        `toml:"mail" like:"true"`
	}

	rawPace struct {
		Repeat        *int64  `toml:"repeat" like:"5"`
		Again         *string `toml:"again" like:"\"5s\""`
		Refresh       *string `toml:"refresh" like:"\"1m\""`
		RefreshRepeat *int64  `toml:"refresh_repeat" like:"1"`
		Gap           *string `toml:"gap" like:"\"1ms\""`
	}

	rawNotify struct {
		Command   []*string `toml:"command" like:"[\"/etc/understudy/notify\"]"`
		States    []*string `toml:"states" like:"[\"active\", \"fault\"]"`
		When      *string   `toml:"when" like:"\"after\""`
		Timeout   *string   `toml:"timeout" like:"\"10s\""`
		User      *string   `toml:"user" like:"\"nobody\""`
		Arguments *string   `toml:"arguments" like:"\"keepalived\""`
	}

	rawRA struct {
		Interval   *string   `toml:"interval" like:"\"10m\""`
		Lifetime   *string   `toml:"lifetime" like:"\"30m\""`
		Preference *string   `toml:"preference" like:"\"medium\""`
		Prefixes   []*string `toml:"prefixes" like:"[\"2001:db8:1::/64\"]"`
		Autonomous *bool     `toml:"autonomous" like:"true"`
		OnLink     *bool     `toml:"onlink" like:"true"`
		Valid      *string   `toml:"valid" like:"\"720h\""`
		Preferred  *string   `toml:"preferred" like:"\"168h\""`
		Managed    *bool     `toml:"managed" like:"false"`
		Other      *bool     `toml:"other" like:"false"`
		MTU        *int64    `toml:"mtu" like:"1400"`
		HopLimit   *int64    `toml:"hop_limit" like:"64"`
		RDNSS      []*string `toml:"rdnss" like:"[\"2001:db8:1::53\"]"`
		DNSSL      []*string `toml:"dnssl" like:"[\"example.org\"]"`
	}

	rawRoute struct {
		To       *string       `toml:"to" like:"\"192.0.2.0/24\""`
		Via      *string       `toml:"via" like:"\"10.0.0.254\""`
		Dev      *string       `toml:"dev" like:"\"lan0\""`
		Onlink   *bool         `toml:"onlink" like:"true"`
		Encap    *string       `toml:"encap" like:"\"ip dst 192.0.2.9\""`
		Nexthops []*rawNexthop `toml:"nexthops"`
		Type     *string       `toml:"type" like:"\"blackhole\""`
		Table    *int64        `toml:"table" like:"100"`
		Metric   *int64        `toml:"metric" like:"10"`
		Source   *string       `toml:"source" like:"\"10.0.0.1\""`
		Scope    *string       `toml:"scope" like:"\"link\""`
		MTU      *int64        `toml:"mtu" like:"1400"`
		Options  *string       `toml:"options" like:"\"initcwnd 20\""`
	}

	rawStanding struct {
		Addresses []*string   `toml:"addresses" like:"[\"10.0.0.5/24 dev eth0\"]"`
		Routes    []*rawRoute `toml:"routes"`
		Rules     []*rawRule  `toml:"rules"`
	}

	rawNexthop struct {
		Via    *string `toml:"via" like:"\"10.0.0.254\""`
		Dev    *string `toml:"dev" like:"\"lan0\""`
		Onlink *bool   `toml:"onlink" like:"true"`
		Encap  *string `toml:"encap" like:"\"ip dst 192.0.2.9\""`
		Weight *int64  `toml:"weight" like:"1"`
	}

	rawRule struct {
		Priority *int64  `toml:"priority" like:"1000"`
		From     *string `toml:"from" like:"\"10.0.0.0/24\""`
		To       *string `toml:"to" like:"\"192.0.2.0/24\""`
		FwMark   *string `toml:"fwmark" like:"\"0x10/0xff\""`
		IIF      *string `toml:"iif" like:"\"lan0\""`
		OIF      *string `toml:"oif" like:"\"wan0\""`
		Table    *int64  `toml:"table" like:"100"`
		Options  *string `toml:"options" like:"\"ipproto tcp dport 80\""`
	}

	rawGroup struct {
		Name    *string      `toml:"name" like:"\"gateway\""`
		Routers []*string    `toml:"routers" like:"[\"lan\", \"wan\"]"`
		Notify  []*rawNotify `toml:"notify"`
		Mail    *bool        `toml:"mail" like:"true"`
	}

	rawNAT struct {
		Source  []*rawSource  `toml:"source"`
		Static  []*rawStatic  `toml:"static"`
		Forward []*rawForward `toml:"forward"`
		Unknown *string       `toml:"unknown" like:"\"reset\""`

		MoveMemory     *int64  `toml:"move_memory" like:"256"`
		MoveConnection *int64  `toml:"move_connection" like:"4"`
		MoveAge        *string `toml:"move_age" like:"\"1h\""`

		Entries []*rawEntry `toml:"entry"`
	}

	rawSource struct {
		From   *string   `toml:"from" like:"\"10.0.0.0/24\""`
		Out    *string   `toml:"out" like:"\"wan0\""`
		To     []*string `toml:"to" like:"\"203.0.113.1\"" one:"true"`
		Router *string   `toml:"router" like:"\"wan\""`
		Ports  *string   `toml:"ports" like:"\"shared\""`
		Except []*string `toml:"except" like:"[\"10.8.0.0/16\"]" one:"true"`
		Onlink *bool     `toml:"onlink" like:"true"`
	}

	rawStatic struct {
		Public  *string   `toml:"public" like:"\"203.0.113.20\""`
		Private *string   `toml:"private" like:"\"10.0.0.20\""`
		Router  *string   `toml:"router" like:"\"wan\""`
		Except  []*string `toml:"except" like:"[\"10.8.0.0/16\"]" one:"true"`
		Onlink  *bool     `toml:"onlink" like:"true"`
	}

	rawForward struct {
		Name    *string `toml:"name" like:"\"web\""`
		Address *string `toml:"address" like:"\"203.0.113.1:8080/tcp\""`
		To      *string `toml:"to" like:"\"10.0.0.20:80\""`
		Router  *string `toml:"router" like:"\"wan\""`
		Onlink  *bool   `toml:"onlink" like:"true"`
	}

	rawEntry struct {
		Name       *string      `toml:"name" like:"\"web\""`
		Address    *string      `toml:"address" like:"\"203.0.113.10:443/tcp\""`
		FwMark     *string      `toml:"fwmark" like:"\"0x10\""`
		Router     *string      `toml:"router" like:"\"wan\""`
		Steer      *string      `toml:"steer" like:"\"primary\""`
		ByPort     *bool        `toml:"by_port" like:"true"`
		Servers    []*rawServer `toml:"servers"`
		Spare      *string      `toml:"spare" like:"\"10.0.0.29:8443\""`
		OnFailure  *string      `toml:"on_failure" like:"\"reset\""`
		Move       *string      `toml:"move" like:"\"lazy\""`
		Persist    *string      `toml:"persist" like:"\"5m\""`
		Prefix     *int64       `toml:"persist_prefix" like:"24"`
		Quorum     *int64       `toml:"quorum" like:"2"`
		Hysteresis *int64       `toml:"hysteresis" like:"1"`
		SlowStart  *string      `toml:"slow_start" like:"\"30s\""`
		Forward    *string      `toml:"forward" like:"\"nat\""`
		Tunnel     *string      `toml:"tunnel" like:"\"ipip\""`

		Notify []*rawEntryNotify `toml:"notify"`
		Mail   *bool             `toml:"mail" like:"true"`
	}

	rawServer struct {
		Address   *string `toml:"address" like:"\"10.0.0.21:8443\""`
		Check     *string `toml:"check" like:"\"web1\""`
		Weight    *int64  `toml:"weight" like:"1"`
		Max       *int64  `toml:"max" like:"1000"`
		Resume    *int64  `toml:"resume" like:"750"`
		OnFailure *string `toml:"on_failure" like:"\"keep\""`
		Doubted   *bool   `toml:"doubted" like:"true"`
		Weigh     *string `toml:"weigh" like:"\"web1-load\""`
		WeighBy   *int64  `toml:"weigh_by" like:"-1"`
		Mail      *bool   `toml:"mail" like:"true"`
	}

	rawEntryNotify struct {
		Command []*string `toml:"command" like:"[\"/etc/understudy/server-gone\"]"`
		On      []*string `toml:"on" like:"[\"down\"]"`
		Server  *string   `toml:"server" like:"\"10.0.0.21:8443\""`
		Timeout *string   `toml:"timeout" like:"\"10s\""`
		User    *string   `toml:"user" like:"\"nobody\""`
	}

	rawCheck struct {
		Name      *string   `toml:"name" like:"\"uplink\""`
		Kind      *string   `toml:"kind" like:"\"icmp\""`
		Every     *string   `toml:"every" like:"\"200ms\""`
		Timeout   *string   `toml:"timeout" like:"\"200ms\""`
		Rise      *int64    `toml:"rise" like:"2"`
		Fall      *int64    `toml:"fall" like:"3"`
		Retry     *string   `toml:"retry_every" like:"\"100ms\""`
		Target    *string   `toml:"target" like:"\"203.0.113.254\""`
		Source    *string   `toml:"source" like:"\"203.0.113.2\""`
		Interface *string   `toml:"interface" like:"\"wan0\""`
		Path      *string   `toml:"path" like:"\"/run/maintenance\""`
		Absent    *bool     `toml:"absent" like:"true"`
		Value     *bool     `toml:"value" like:"true"`
		Init      *int64    `toml:"init" like:"0"`
		Overwrite *bool     `toml:"init_overwrite" like:"true"`
		Process   *string   `toml:"process" like:"\"named\""`
		Args      []*string `toml:"args" like:"[\"-u\", \"bind\"]"`
		Min       *int64    `toml:"min" like:"1"`
		Max       *int64    `toml:"max" like:"4"`
		To        *string   `toml:"to" like:"\"192.0.2.1\""`
		Prefix    *string   `toml:"prefix" like:"\"0.0.0.0/0\""`
		Table     *int64    `toml:"table" like:"254"`
		Command   []*string `toml:"command" like:"[\"/usr/local/bin/check-uplink\"]"`
		User      *string   `toml:"user" like:"\"nobody\""`

		Method     *string   `toml:"method" like:"\"GET\""`
		Host       *string   `toml:"host" like:"\"www.example.org\""`
		Status     []*string `toml:"status" like:"[\"200-299\", \"301\"]" one:"true"`
		Body       *string   `toml:"body" like:"\"ready\""`
		Match      *string   `toml:"match" like:"\"^ready\""`
		MatchNot   *string   `toml:"match_not" like:"\"error\""`
		SourcePort *int64    `toml:"source_port" like:"1024"`
		FwMark     *string   `toml:"fwmark" like:"\"0x10\""`
		MatchFrom  *int64    `toml:"match_from" like:"16"`
		MatchUntil *int64    `toml:"match_until" like:"1024"`
		Digest     *string   `toml:"digest" like:"\"md5:900150983cd24fb0d6963f7d28e17f72\""`
		Verify     *bool     `toml:"verify" like:"true"`
		ServerName *string   `toml:"server_name" like:"\"www.example.org\""`
		CAFile     *string   `toml:"ca_file" like:"\"/etc/understudy/ca.pem\""`
		CertFile   *string   `toml:"cert_file" like:"\"/etc/understudy/check.pem\""`
		KeyFile    *string   `toml:"key_file" like:"\"/etc/understudy/check.key\""`

		Query   *string   `toml:"query" like:"\"example.org\""`
		Type    *string   `toml:"type" like:"\"A\""`
		RCode   *string   `toml:"rcode" like:"\"NOERROR\""`
		Answers []*string `toml:"answers" like:"[\"192.0.2.1\"]" one:"true"`

		Send    *string `toml:"send" like:"\"ping\""`
		Expect  *string `toml:"expect" like:"\"pong\""`
		Silence *bool   `toml:"silence" like:"true"`
		Helo    *string `toml:"helo" like:"\"gw1.example.org\""`

		Listen     *string `toml:"listen" like:"\"10.0.0.2:7791\""`
		Server     *string `toml:"server" like:"\"web1\""`
		SecretFile *string `toml:"secret_file" like:"\"/etc/understudy/web1.secret\""`
		Socket     *string `toml:"socket" like:"\"/run/understudy/watchdog/web\""`
		PIDFile    *string `toml:"pid_file" like:"\"/run/web.pid\""`

		Checks []*string `toml:"checks" like:"[\"web-tcp\", \"web-page\"]"`

		Damp *rawDamp `toml:"damp" like:"{ half_life = \"30s\" }"`
	}

	rawDamp struct {
		HalfLife *string `toml:"half_life" like:"\"30s\""`
		Suppress *int64  `toml:"suppress" like:"2500"`
		Reuse    *int64  `toml:"reuse" like:"1000"`
		Longest  *string `toml:"longest" like:"\"2m\""`
	}

	rawBond struct {
		Name            *string `toml:"name" like:"\"bond0\""`
		MinLinks        *int64  `toml:"min_links" like:"2"`
		FailOn          *string `toml:"fail_on" like:"\"critical\""`
		WeightPerMember *int64  `toml:"weight_per_member" like:"-20"`
	}

	rawSessions struct {
		Listen     []*string  `toml:"listen" like:"\"10.255.0.1:7788\"" one:"true"`
		Peers      []*rawPeer `toml:"peers"`
		SecretFile *string    `toml:"secret_file" like:"\"/etc/understudy/secret\""`
		Mode       *string    `toml:"mode" like:"\"hybrid\""`
		Every      *string    `toml:"every" like:"\"1s\""`
		Batch      *int64     `toml:"batch" like:"256"`
		Install    *string    `toml:"install" like:"\"hot\""`

		Mirror *string `toml:"mirror" like:"\"mirror0\""`
		Filter *string `toml:"filter" like:"\"auto\""`

		Journal    *string `toml:"journal" like:"\"auto\""`
		JournalDir *string `toml:"journal_dir" like:"\"/var/lib/understudy/sessions\""`

		Routed   *bool         `toml:"routed" like:"true"`
		Networks []*rawNetwork `toml:"networks"`
		Classes  []*rawClass   `toml:"class"`
	}

	rawNetwork struct {
		Network *string `toml:"network" like:"\"10.0.0.0/8\""`
		Router  *string `toml:"router" like:"\"lan\""`
	}

	rawClass struct {
		Protocol  *string   `toml:"protocol" like:"\"udp\""`
		Ports     []*string `toml:"ports" like:"[\"53\", \"5060-5061\"]"`
		Replicate *bool     `toml:"replicate" like:"false"`
		MinAge    *string   `toml:"min_age" like:"\"3s\""`
	}

	rawPeer struct {
		Name    *string   `toml:"name" like:"\"gw2\""`
		Address []*string `toml:"address" like:"\"10.255.0.2:7788\"" one:"true"`
	}
)
