package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os/user"
	"regexp"
	"strconv"

	"understudy/appliance/config"
	"understudy/health"
	"understudy/health/heartbeat"
	"understudy/health/probe"
)

// probes makes something to try of each check.
func probes(cfg *config.Config) (out []probe.Check) {
	number := make(map[string]int, len(cfg.Checks))
	for i, k := range cfg.Checks {
		number[k.Name] = i
	}
	for _, k := range cfg.Checks {
		c := probe.Check{CheckConfig: k.Pace(), Spread: health.Spread(cfg.Node, k.Name, k.Every), Subject: subject(k), Need: k.Needed()}
		switch {
		case k.Combined():
			for _, name := range k.Checks {
				c.Of = append(c.Of, number[name])
			}
		case !c.Pushed:
			var err error
			if c.Prober, err = prober(k, cfg.Spoken != nil); err != nil {
				c.Prober = impossible{err}
			}
		}
		out = append(out, c)
	}
	return out
}

// subject is what a check tries, whatever it is called and however it is judged.
func subject(k config.Check) string {
	k.Name, k.Every, k.Timeout, k.Retry, k.Rise, k.Fall, k.Damp = "", 0, 0, 0, 0, 0, health.Damp{}
	return fmt.Sprintf("%+v", k)
}

func endpoint(k config.Check) probe.Endpoint {
	return probe.Endpoint{Target: k.Target, Source: k.Source, SourcePort: k.SourcePort, Interface: k.Interface, Mark: k.Mark}
}

// prober makes what tries a check. Inherit: programs have our environment, as
// keepalived's have.
func prober(k config.Check, inherit bool) (probe.Prober, error) {
	switch k.Kind {
	case config.CheckICMP:
		return probe.NewICMP(probe.ICMPConfig{Target: k.Target.Addr(), Source: k.Source, Interface: k.Interface, Mark: k.Mark})
	case config.CheckTCP:
		return probe.NewTCP(endpoint(k))
	case config.CheckFile:
		if k.Value {
			return &probe.FileValue{Path: k.Path}, nil
		}
		return &probe.File{Path: k.Path, Absent: k.Absent}, nil
	case config.CheckProcess:
		return &probe.Process{Name: k.Process, Args: k.Args, Min: k.Min, Max: k.Max}, nil
	case config.CheckRoute:
		return &probe.Route{To: k.To, Prefix: k.Prefix, Table: k.Table, Interface: k.Interface}, nil
	case config.CheckScript:
		s, err := probe.NewScript(probe.ScriptConfig{Argv: k.Command, User: k.User, Inherit: inherit})
		if err == nil && k.Value {
			return probe.ScriptValue{Script: s}, nil
		}
		return s, err
	case config.CheckHTTP, config.CheckHTTPS:
		return page(k)
	case config.CheckDNS:
		return probe.NewDNS(probe.DNSConfig{Endpoint: endpoint(k), Name: k.Query, Type: k.Type, Code: k.RCode, Answers: k.Answers})
	case config.CheckUDP:
		return probe.NewUDP(probe.UDPConfig{Endpoint: endpoint(k), Send: k.Send, Expect: k.Expect, Silent: k.Silence})
	case config.CheckSMTP:
		return probe.NewSMTP(probe.SMTPConfig{Endpoint: endpoint(k), Helo: k.Helo})
	case config.CheckHeartbeat:
		keys, err := heartbeatKeys(k)
		if err != nil {
			return nil, err
		}
		return probe.NewHeartbeat(probe.HeartbeatConfig{Endpoint: endpoint(k), Server: k.Server, Keys: keys})
	}
	return nil, fmt.Errorf("a check of kind %q cannot be made", k.Kind)
}

func page(k config.Check) (probe.Prober, error) {
	c := probe.HTTPConfig{Endpoint: endpoint(k), Method: k.Method, Path: k.Path, Host: k.Host, Status: k.Status, Body: k.Body, Digest: k.Digest,
		Within: probe.Span{From: k.MatchFrom, Until: k.MatchUntil}}
	for _, e := range []struct {
		text string
		into **regexp.Regexp
	}{{k.Match, &c.Match}, {k.MatchNot, &c.Not}} {
		if e.text == "" {
			continue
		}
		var err error
		if *e.into, err = regexp.Compile(e.text); err != nil {
			return nil, err
		}
	}
	if k.Kind == config.CheckHTTPS {
		c.TLS = &probe.TLSConfig{Insecure: !k.Verify, ServerName: k.ServerName, CAFile: k.CAFile, CertFile: k.CertFile, KeyFile: k.KeyFile}
	}
	return probe.NewHTTP(c)
}

func heartbeatKeys(k config.Check) (keys []heartbeat.Key, err error) {
	for _, secret := range k.Secret {
		key, err := heartbeat.NewKey(secret[:], k.Server)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// sources makes what hears the results that come by themselves. What cannot be
// made has its error, by the index of its check.
func sources(cfg *config.Config, heard *probe.Heard) (out []probe.Source, failed map[int]error) {
	failed = map[int]error{}
	senders := map[netip.AddrPort][]probe.Sender{}
	names := map[netip.AddrPort][]string{}
	var listens []netip.AddrPort
	for i, k := range cfg.Checks {
		switch {
		case k.Listen.IsValid():
			keys, err := heartbeatKeys(k)
			if err != nil {
				failed[i] = err
				continue
			}
			if senders[k.Listen] == nil {
				listens = append(listens, k.Listen)
			}
			senders[k.Listen] = append(senders[k.Listen], probe.Sender{Server: k.Server, Keys: keys, Check: i})
			names[k.Listen] = append(names[k.Listen], k.Server)
		case k.Kind == config.CheckWatchdog:
			uid, err := userNumber(k.User)
			if err != nil {
				failed[i] = err
				continue
			}
			out = append(out, &probe.Watchdog{WatchdogConfig: probe.WatchdogConfig{Socket: k.Socket, UID: uid, PIDFile: k.PIDFile, Check: i}})
		}
	}
	heard.Keep(names)
	for _, at := range listens {
		out = append(out, probe.NewReceiver(at, senders[at], heard))
	}
	return out, failed
}

// userNumber is the number of a user by name or number; -1 for none.
func userNumber(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, fmt.Errorf("there is no user %q", name)
		}
	}
	return strconv.Atoi(u.Uid)
}

// impossible is a check that cannot even be tried, as when a script's user does
// not exist here. That it is down is better than a gateway that does not start.
type impossible struct{ err error }

func (p impossible) Probe(context.Context) error { return p.err }
