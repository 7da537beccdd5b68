package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"understudy/appliance/history"
)

// waitBound is how long a question for events can wait for some.
const waitBound = 30 * time.Second

// events adds what tells what happened.
func events(m *http.ServeMux, h Handler, ending context.Context) {
	m.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		q, wait, err := eventsQuery(r.URL.Query())
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(refusal{Error: err.Error()})
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ending, cancel)() // the node's end does not wait for who waits
		a, err := h.Events(ctx, q, wait)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(a)
	})
}

func eventsQuery(v url.Values) (q history.Query, wait time.Duration, err error) {
	q = history.Query{Group: v.Get("group"), Kind: history.Kind(v.Get("kind"))}
	number := func(key string, bits int) (n uint64) {
		if s := v.Get(key); s != "" && err == nil {
			if n, err = strconv.ParseUint(s, 10, bits); err != nil {
				err = fmt.Errorf("%s: %q is no number", key, s)
			}
		}
		return n
	}
	q.After = number("after", 64)
	q.Last = int(number("last", 31))
	wait = min(time.Duration(number("wait", 31))*time.Second, waitBound)
	if s := v.Get("since"); s != "" && err == nil {
		if q.Since, err = time.Parse(time.RFC3339, s); err != nil {
			err = fmt.Errorf("since: %q is no time of RFC 3339", s)
		}
	}
	return q, wait, err
}

// Events returns what happened, as far as q selects it. If there is nothing, the node waits
// for it at most so long, in whole seconds.
func (c *Client) Events(ctx context.Context, q history.Query, wait time.Duration) (a history.Answer, err error) {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" && value != "0" {
			v.Set(key, value)
		}
	}
	set("group", q.Group)
	set("kind", string(q.Kind))
	set("after", strconv.FormatUint(q.After, 10))
	set("last", strconv.Itoa(q.Last))
	set("wait", strconv.Itoa(int(wait/time.Second)))
	if !q.Since.IsZero() {
		set("since", q.Since.Format(time.RFC3339Nano))
	}
	err = c.call(ctx, http.MethodGet, "/v1/events?"+v.Encode(), nil, &a)
	return a, err
}
