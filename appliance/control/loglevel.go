package control

import (
	"context"
	"encoding/json"
	"net/http"
)

// logLevel is the body of both ways of /v1/log-level.
type logLevel struct {
	Level string `json:"level"`
}

// logging adds what is logged.
func logging(m *http.ServeMux, h Handler) {
	say := func(w http.ResponseWriter, level string, err error) {
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(logLevel{level})
	}
	m.HandleFunc("GET /v1/log-level", func(w http.ResponseWriter, r *http.Request) {
		level, err := h.LogLevel(r.Context(), "")
		say(w, level, err)
	})
	m.HandleFunc("POST /v1/log-level", func(w http.ResponseWriter, r *http.Request) {
		var req logLevel
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&req); err != nil || req.Level == "" {
			http.Error(w, `{"error":"malformed request"}`, http.StatusBadRequest)
			return
		}
		level, err := h.LogLevel(r.Context(), req.Level)
		say(w, level, err)
	})
}

// LogLevel changes what the node logs, unless level is empty, and returns what it is now.
func (c *Client) LogLevel(ctx context.Context, level string) (is string, err error) {
	var a logLevel
	if level == "" {
		err = c.call(ctx, http.MethodGet, "/v1/log-level", nil, &a)
	} else {
		err = c.call(ctx, http.MethodPost, "/v1/log-level", logLevel{level}, &a)
	}
	return a.Level, err
}
