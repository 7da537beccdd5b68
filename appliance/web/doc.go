// Package web is what a node shows over TCP: read-only, on a loopback address unless the
// file says otherwise, and then only to who has the token.
//
//	GET /           the page for people (package page), the same on every node
//	GET /v1/live    what it shows, as it changes (package live)
//	GET /metrics    for Prometheus
//
// Whatever is asked, however slowly and by however many, costs a bounded number of
// connections and of bytes, and nothing that the gateway does waits for it. A browser
// that was tricked into asking for another name (DNS rebinding) is refused by the name.
package web
