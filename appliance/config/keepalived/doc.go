// Package keepalived reads keepalived.conf (and conntrackd.conf) and says the same
// in Understudy's own language: a [Document], which is a TOML file that nobody has
// to write.
//
//	file --reader--> lines --words--> tree --parse--> File --convert--> Document
//	  \ include, comments,   quotes,    \ keyword table,  \ typed       \ TOML text,
//	    @conditions, $VAR,   braces       messages          AST           tree, origins
//	    ~SEQ, ~LST
//
// The language is keepalived's, as of 2.2.7 with the keywords of 2.4: what it takes
// is taken, what it complains of is complained of in its words, "(FILE: Line N) …",
// and reading goes on. What the engine has no equal for is in the typed tree and
// leads to a [Message]: nothing is ignored in silence. Which keyword is carried
// over, and which is not, is one table ([Keywords]); docs/keepalived.md is made of it.
//
// The package knows the machine only through [World], so that a file can be read
// on another one, and by a test.
package keepalived
