// Package heartbeat is what servers and gateways say to each other about being
// alive: an authenticated message by UDP, pushed by a server each now and then,
// or pulled by a gateway that asks for it. It has no clock, socket or goroutine.
//
//	push   server ── Beat ──▶ gateway: Peer.Admit        is it new, and of now?
//	pull   gateway ── Ask ──▶ server: Respond            is it from one who may ask?
//	       gateway: Answers ◀── Answer ── server         is it to what I asked just now?
//
// # A message
//
// Network byte order. 16 octets of HMAC-SHA256 end it, over everything before,
// with a key made of the secret and the server's name.
//
//	 0  4  "uhs", version 1
//	 4  1  kind: 1 a beat (push), 2 a question, 3 its answer
//	 5  1  flags of a server: 1 its own check failed, 2 it is leaving
//	 6  1  length of the name
//	 7  1  0
//	 8  8  incarnation of the sender: a random number of its process, not 0
//	16  8  sequence number, of an answer that of the question
//	24  8  nonce: random in a question, repeated in its answer; 0 in a beat
//	32  8  time of the sender, nanoseconds since 1970
//	40  4  interval of the beats, microseconds; 0 in a question and its answer
//	44     name of the server, 1 to 63 octets, then the code
//
// A message is as long as that, and no longer. A question is as long as its
// answer, so nobody is attacked by way of a responder.
//
// # Who is believed
//
// A code that does not fit says nothing, and is refused as forged. A beat is
// refused as a replay unless its sequence number is above the last one of the
// same incarnation, or its incarnation is another and its time later; and
// refused for its time unless that is within [Window] of ours. So a gateway that
// has just started, and knows of no beat before, cannot be told of a server that
// has been dead for longer than that; and clocks have to agree that far. Pulling
// needs no clock: an answer repeats the nonce of a question asked just now.
//
// A key is of one server (and secret): gateways that share a secret file with
// several servers trust each of them to speak for the others, which files of
// their own avoid. The cluster's secret is not for servers.
package heartbeat
