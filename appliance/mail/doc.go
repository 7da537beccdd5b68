// Package mail sends alerts by SMTP.
//
//	Tell(Message) ─▶ a queue, bounded: the oldest makes way ─▶ one goroutine ─▶ the server
//	Finish(ctx) ───▶ what is left is sent, at most until ctx ends
//
// Whoever tells never waits: neither for the server, nor for the network to it, which is
// just what may be gone when there is something to tell. What cannot be delivered is
// tried again with growing pauses, each mail for at most ten minutes after what it is
// about; then it is counted as failed. A server that refuses a mail for good is not asked
// again. Counters say what became of every mail: sent, failed, dropped.
//
// The client (net/smtp's) speaks EHLO, else HELO, without encryption and without a login:
// it is for a relay in the operator's own network, as keepalived's is. All that it reads
// is bounded, and so is the time that it waits.
//
// Headers are made of text that may come from anywhere (names, what a check has said):
// it cannot add a header, end a message or begin another.
package mail
