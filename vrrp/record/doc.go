// Package record keeps what a machine was given and what it decided, as JSON lines, so
// that a bug in the field becomes a test file. It knows no machine: inputs, outputs and
// states are values, written as they are.
//
//	machine's loop --Step--> encode --queue--> writer --> DIR/election-…-0001.jsonl, -0002, …
//
// A file begins with a header, then with the machine's configuration or, when an older
// file of the same run went before, with its whole state, so that each can be replayed
// alone:
//
//	{"understudy":"recording","format":1,"machine":"election","program":"1.2","node":"gw1","start":"…","part":1}
//	{"t":0,"config":{…}}
//	{"t":52031,"do":"step","in":{"Kind":"link",…},"out":{…}}
//	{"t":91733,"lost":3,"state":{…}}
//
// Times are nanoseconds since the start, of the clock that never jumps; so are all times
// within values. What is zero is left out. See docs/record.md.
//
// [Tape] writes: nothing that its methods do waits for the disk. What does not fit into
// the queue is lost, counted, and followed by a state. [Read] reads.
package record
