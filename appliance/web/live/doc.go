// Package live tells who looks at a node how it stands, as it changes: a stream of
// server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
//	Source ──a view each second, while somebody looks──▶ Live ──▶ viewer (latest wins)
//	                                                         ├──▶ viewer
//	                                                         └──▶ …
//
//	event: trend    the samples of the last ten minutes and of the last day, once
//	event: view     a [View]: the whole node, its peers, what happened last
//
// A view is the whole, so nothing is queued: whoever reads slowly misses views, which is
// counted, and whoever does not read at all is let go. The number of viewers is bounded,
// a view is composed and encoded once for all of them, and the more it costs the rarer
// it gets: looking never takes more than a twentieth of a processor.
package live
