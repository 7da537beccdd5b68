package lacpnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// Speaker is one end of aggregated links, on interfaces that no bonding driver has:
// a [lacp.Actor] with sockets and a clock. It moves no traffic.
type Speaker struct {
	log    *slog.Logger
	ports  []*Port
	reader *Reader
	kickC  chan struct{} // holds one: the actor's deadline may be another one
	tap    Tap           // nil: nobody looks

	mu    sync.Mutex
	actor *lacp.Actor
	cfg   lacp.ActorConfig
}

// OpenSpeaker opens the interfaces, one for each of cfg.Ports, or all with the first
// port's key where there are fewer. The MAC addresses of ports are the interfaces'
// own, their numbers count from 1, unless cfg says otherwise. Without a system
// identifier it is the first interface's address.
func OpenSpeaker(cfg lacp.ActorConfig, log *slog.Logger, interfaces ...string) (_ *Speaker, err error) {
	if len(interfaces) == 0 {
		return nil, errors.New("lacpnet: an end without interfaces")
	}
	s := &Speaker{log: log, kickC: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.reader, err = OpenReader(); err != nil {
		return nil, err
	}
	for _, name := range interfaces {
		p, err := OpenPort(name)
		if err != nil {
			return nil, err
		}
		p.ShowOutgoing(false)
		s.ports = append(s.ports, p)
	}
	s.cfg = s.complete(cfg)
	s.actor = lacp.NewActor(s.cfg)
	return s, nil
}

// complete fills in what the interfaces know.
func (s *Speaker) complete(cfg lacp.ActorConfig) lacp.ActorConfig {
	ports := make([]lacp.PortConfig, len(s.ports))
	for i, p := range s.ports {
		switch {
		case i < len(cfg.Ports):
			ports[i] = cfg.Ports[i]
		case len(cfg.Ports) > 0:
			ports[i].Key, ports[i].Priority = cfg.Ports[0].Key, cfg.Ports[0].Priority
		}
		if ports[i].MAC == (lacp.MAC{}) {
			ports[i].MAC = p.MAC
		}
		if ports[i].Number == 0 {
			ports[i].Number = uint16(i + 1)
		}
	}
	cfg.Ports = ports
	if cfg.System == (lacp.MAC{}) {
		cfg.System = s.ports[0].MAC
	}
	return cfg
}

// Reconfigure changes what the end says of itself. change gets the configuration
// in force.
func (s *Speaker) Reconfigure(change func(*lacp.ActorConfig)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.cfg
	cfg.Ports = append([]lacp.PortConfig(nil), cfg.Ports...)
	change(&cfg)
	s.cfg = s.complete(cfg)
	now := time.Now()
	s.send(now, lacp.ActorInput{Kind: lacp.ActTick}, s.actor.Reconfigure(now, s.cfg))
	s.kick()
}

// Tap is told of each step of an actor, after it: what it was given, and what it
// sent. Nothing that it gets may be kept.
type Tap func(now time.Time, a *lacp.Actor, in lacp.ActorInput, sent []lacp.Sending)

// Tap has fn told; before Run.
func (s *Speaker) Tap(fn Tap) { s.tap = fn }

// Look calls fn with the actor, which must not be changed.
func (s *Speaker) Look(fn func(*lacp.Actor)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s.actor)
}

// kick has Run look at the deadline again.
func (s *Speaker) kick() {
	select {
	case s.kickC <- struct{}{}:
	default:
	}
}

// spoken is a frame for the actor; taken gives the port's buffer back.
type spoken struct {
	port  int
	frame Frame
	lost  uint32
	taken chan<- struct{}
}

// Run speaks until ctx ends, in the namespace of the calling thread, and closes the
// interfaces. It is called once.
func (s *Speaker) Run(ctx context.Context) error {
	notices, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: unix.RTMGRP_LINK})
	if err != nil {
		s.close()
		return fmt.Errorf("lacpnet: rtnetlink: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	defer lanes.Wait()
	defer s.close()
	defer notices.Close()
	defer cancel()
	noticeC, frameC := make(chan notice), make(chan spoken)
	lanes.Go(func() { listen(ctx, notices, noticeC) })
	for i, p := range s.ports {
		lanes.Go(func() { s.listen(ctx, i, p, frameC) })
	}
	tick := time.NewTicker(Poll)
	defer tick.Stop()
	alarm := newAlarm()
	defer alarm.Stop()
	for s.carriers(); ; {
		s.arm(alarm)
		select {
		case <-ctx.Done():
			return nil
		case <-s.kickC:
		case f := <-frameC:
			s.step(lacp.ActorInput{Kind: lacp.ActFrame, Port: f.port, Frame: f.frame.Data, Lost: f.lost})
			f.taken <- struct{}{}
		case <-noticeC:
			s.carriers()
		case <-tick.C:
			s.carriers()
		case <-alarm.C:
			s.step(lacp.ActorInput{Kind: lacp.ActTick})
		}
	}
}

// arm sets the alarm for the actor's deadline.
func (s *Speaker) arm(alarm *time.Timer) {
	s.mu.Lock()
	due := s.actor.Deadline()
	s.mu.Unlock()
	alarm.Stop()
	if !due.IsZero() {
		alarm.Reset(max(time.Until(due), time.Millisecond))
	}
}

func (s *Speaker) step(in lacp.ActorInput) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.send(now, in, s.actor.Step(now, in))
}

// send puts frames on the wire. One that is lost is the next one's affair: LACP says
// everything again.
func (s *Speaker) send(now time.Time, in lacp.ActorInput, frames []lacp.Sending) {
	if s.tap != nil {
		s.tap(now, s.actor, in, frames)
	}
	for _, f := range frames {
		if err := s.ports[f.Port].Send(f.Frame); err != nil {
			s.log.Debug("an LACPDU was not sent", "err", err)
		}
	}
}

// carriers tells the actor which ports are up.
func (s *Speaker) carriers() {
	for i, p := range s.ports {
		l, ok, err := s.reader.link(p.Name)
		if err != nil {
			s.log.Debug("looking at an interface", "iface", p.Name, "err", err)
			continue
		}
		s.step(lacp.ActorInput{Kind: lacp.ActLink, Port: i, Up: ok && l.index == p.Index && l.carrier})
	}
}

func (s *Speaker) listen(ctx context.Context, i int, p *Port, frameC chan<- spoken) {
	taken := make(chan struct{})
	for {
		f, err := p.Receive()
		if err != nil {
			return
		}
		select {
		case frameC <- spoken{i, f, p.Lost(), taken}:
			<-taken
		case <-ctx.Done():
			return
		}
	}
}

func (s *Speaker) close() {
	for _, p := range s.ports {
		p.Close()
	}
	if s.reader != nil {
		s.reader.Close()
	}
}
