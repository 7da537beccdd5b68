package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"understudy/appliance"
)

// seeing adds what shows sessions.
func seeing(m *http.ServeMux, h Handler) {
	m.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		out := json.NewEncoder(w)
		said := false
		err := h.Sessions(r.Context(), appliance.FlowFilter{Group: q.Get("group"), Protocol: q.Get("protocol")}, func(f *appliance.Flow) bool {
			if !said {
				w.Header().Set("Content-Type", "application/x-ndjson")
				said = true
			}
			return out.Encode(f) == nil
		})
		switch {
		case err == nil:
		case said: // the answer is cut off where the client can tell
			panic(http.ErrAbortHandler)
		default:
			refuse(w, err)
		}
	})
	m.HandleFunc("GET /v1/sessions/diff", func(w http.ResponseWriter, r *http.Request) {
		d, err := h.Diff(r.Context(), r.URL.Query().Get("peer"))
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(d)
	})
	m.HandleFunc("GET /v1/takeovers", func(w http.ResponseWriter, r *http.Request) {
		all, err := h.Takeovers(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(all)
	})
}

// Sessions calls fn for each session that w selects, until it returns an error.
func (c *Client) Sessions(ctx context.Context, w appliance.FlowFilter, fn func(*appliance.Flow) error) error {
	q := url.Values{"group": {w.Group}, "protocol": {w.Protocol}}
	resp, err := c.do(ctx, http.MethodGet, "/v1/sessions?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := json.NewDecoder(resp.Body)
	for {
		var f appliance.Flow
		switch err := in.Decode(&f); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("control: the answer is cut off: %w", err)
		}
		if err := fn(&f); err != nil {
			return err
		}
	}
}

// Diff compares the node's sessions with those of a peer; see [Handler].
func (c *Client) Diff(ctx context.Context, peer string) (*appliance.FlowsDiff, error) {
	d := new(appliance.FlowsDiff)
	err := c.call(ctx, http.MethodGet, "/v1/sessions/diff?"+url.Values{"peer": {peer}}.Encode(), nil, d)
	return d, err
}

// Takeovers returns the reports of the last takeovers, the latest first.
func (c *Client) Takeovers(ctx context.Context) (all []appliance.TakeoverStatus, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/takeovers", nil, &all)
	return all, err
}
