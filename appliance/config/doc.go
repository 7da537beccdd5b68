// Package config reads Understudy's configuration file: TOML in, a typed
// [Config] or a list of [Problems] out.
//
// It is strict. A gateway that ignores a line of its configuration is worse
// than one that does not start, so unknown keys, values out of range, names
// that nothing has, mappings that overlap and features that are not built yet
// are all refused, and refused together: one run of `understudy check` shows
// everything that is wrong. Each problem is one line that names the place, the
// key, what is wrong there and what to write instead:
//
//	gw.toml:12: router[0].vrid: 300 is not a VRID; use 1 to 255
//
// The way of a file through the package:
//
//	source --toml.Decode--> tree --bind--> raw structs --check--> Config
//	   \                      |                |             |
//	    \--newIndex--> line of each path       |             |
//	                          |                |             |
//	                          +---> Problems <-+-------------+
//
// The raw structs (raw.go) are the grammar: a pointer for every key, so that
// "not written" and "written as zero" stay apart, and a tag on each key whose
// feature is not built yet. The checks turn them into typed values and look at
// them together. Positions come from an index of the source text (lines.go),
// because the TOML library names one only for errors of syntax.
//
// Defaults are in one function, [Default]; docs/configuration.md and
// etc/understudy.toml are held to it, and to the raw structs, by tests.
//
// The package reads files (the configuration and the cluster secret) and
// nothing else: it never looks at interfaces or at the kernel, so a file can be
// checked on any machine.
package config
