package metrics

import "understudy/appliance"

var mailFamilies = []family{
	{name: "understudy_mail_total", help: "Alerts by mail, by what has become of them. Missing without [mail].", counter: true, labels: []string{"outcome"},
		each: func(s *appliance.Status, emit emit) {
			if s.Mail != nil {
				counts(emit, map[string]uint64{"sent": s.Mail.Sent, "failed": s.Mail.Failed, "dropped": s.Mail.Dropped})
			}
		}},
	{name: "understudy_mail_waiting", help: "Alerts that wait for the mail server.",
		each: func(s *appliance.Status, emit emit) {
			if s.Mail != nil {
				emit(float64(s.Mail.Waiting))
			}
		}},
}
