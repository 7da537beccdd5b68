package election

import (
	"context"
	"log/slog"

	"understudy/vrrp"
)

// notice logs what the Set found worth it; how often is the Set's affair.
func (l *loop) notice(list []vrrp.Notice) {
	for _, n := range list {
		level := slog.LevelWarn
		attrs := []slog.Attr{slog.String("kind", n.Kind.String()), slog.String("iface", n.Interface)}
		if n.Router >= 0 {
			r := &l.set.Config().Routers[n.Router]
			attrs = append(attrs, slog.String("router", r.Name), slog.Int("vrid", int(r.VRID)))
		} else if n.Reason == vrrp.ReasonVRID {
			level = slog.LevelInfo // somebody else's virtual router on the same segment, most likely
		}
		if n.Kind == vrrp.NoticeRefused {
			attrs = append(attrs, slog.String("reason", n.Reason.String()))
		}
		if n.Src.IsValid() {
			attrs = append(attrs, slog.String("src", n.Src.String()))
		}
		attrs = append(attrs, slog.Uint64("count", uint64(n.Count)), slog.String("detail", n.String()))
		l.log.LogAttrs(context.Background(), level, "notice", attrs...)
	}
}
