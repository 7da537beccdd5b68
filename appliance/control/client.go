package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"understudy/appliance"
)

// Client asks a running node. The zero value is not usable; see NewClient.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the node that listens at path. It connects when
// it is first used.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1}}}
}

// statusPath is what every version knows.
const statusPath = "/v1/status"

// Close lets the connection go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the node's status.
func (c *Client) Status(ctx context.Context) (s appliance.Status, err error) {
	err = c.call(ctx, http.MethodGet, statusPath, nil, &s)
	return s, err
}

// Failover hands group over, all groups that are Active there if it is empty. It
// returns once the group is no longer Active there.
func (c *Client) Failover(ctx context.Context, group string, force bool) error {
	return c.call(ctx, http.MethodPost, "/v1/failover", failoverRequest{Group: group, Force: force}, nil)
}

// Reload has the node load its configuration again. The error tells what is
// wrong with the file; the node then runs on with what it had.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/reload", nil, nil)
}

// Upgrade has the node start its daemon anew, from the file that the program is in
// now. It returns that program's version, before the old daemon has ended.
func (c *Client) Upgrade(ctx context.Context) (version string, err error) {
	var a upgradeAnswer
	err = c.call(ctx, http.MethodPost, "/v1/upgrade", nil, &a)
	return a.Version, err
}

// UpgradeElection has the node exchange its election process for one of its daemon's
// program. It returns when that is at work.
func (c *Client) UpgradeElection(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/upgrade/election", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return c.unreadable(err)
	}
	return nil
}

// do returns the answer, whose body the caller closes, or the node's refusal.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://understudy"+path, body)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	var r refusal
	if json.NewDecoder(resp.Body).Decode(&r) != nil || r.Error == "" {
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed {
			return nil, c.unknown(ctx, method, path)
		}
		return nil, fmt.Errorf("control: %s: %s", c.path, resp.Status)
	}
	return nil, errors.New(r.Error)
}
