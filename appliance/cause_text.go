package appliance

import (
	"strings"

	"understudy/vrrp"
)

// causeTexts are words for people in place of the words for causes.
var causeTexts = map[string]string{
	string(vrrp.CauseStartup):      "this node takes part",
	string(vrrp.CauseOwner):        "priority 255 does not wait",
	string(vrrp.CauseActiveDown):   "nobody else is active",
	string(vrrp.CauseBetterActive): "a better node is active",
	string(vrrp.CauseYield):        "another router of the group had to go",
	string(vrrp.CauseHandOver):     "it is handed over",
	string(vrrp.CauseSuccessor):    "the node that it was handed to is active",
	string(vrrp.CauseNoSuccessor):  "it was handed over, and nobody was heard who took it",
	string(vrrp.CauseResume):       "a new election process goes on where the one before was",
	string(vrrp.CauseRepaired):     "what was wrong is over",
	string(vrrp.CauseShutdown):     "this node stops",
	string(vrrp.CauseReconfigure):  "the configuration has changed",
	string(vrrp.CauseTerm):         "a peer had used its term",
	string(vrrp.CauseHeld):         "the takeover is put off: a peer says that it is active",
	string(vrrp.CauseWitness):      "a better node says by heartbeat that it is active",
	CauseAttached:                  "as the daemon found it",
	CauseElectionLost:              "the election process is gone",
	CauseFenced:                    "it was taken out of service without the daemon",
}

// CauseText puts the word for a cause into words, whatever follows it ("; …", ", …"). A
// fault has no word: it says why itself.
func CauseText(cause string) string {
	word, rest := cause, ""
	if i := strings.IndexAny(cause, ";,"); i >= 0 {
		word, rest = cause[:i], cause[i:]
	}
	if text, ok := causeTexts[word]; ok {
		return text + rest
	}
	return cause
}
