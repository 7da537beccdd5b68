package control

import (
	"context"
	"encoding/json"
	"net/http"
)

// drainRequest is the body of POST /v1/servers/drain.
type drainRequest struct {
	Entry   string `json:"entry"`
	Server  string `json:"server"`
	Drained bool   `json:"drained"`
}

// servers adds what is done with servers of entry points.
func servers(m *http.ServeMux, h Handler) {
	m.HandleFunc("POST /v1/servers/drain", func(w http.ResponseWriter, r *http.Request) {
		var req drainRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&req); err != nil {
			http.Error(w, `{"error":"malformed request"}`, http.StatusBadRequest)
			return
		}
		answer(w, h.DrainServer(r.Context(), req.Entry, req.Server, req.Drained))
	})
}

// DrainServer has a server of an entry point get no new flows, or get them again. Its
// established flows stay.
func (c *Client) DrainServer(ctx context.Context, entry, server string, drained bool) error {
	return c.call(ctx, http.MethodPost, "/v1/servers/drain", drainRequest{Entry: entry, Server: server, Drained: drained}, nil)
}
