// Package page makes the pages that people look at: each is one file that needs nothing
// else, from nowhere, and says so to the browser (Content-Security-Policy). What is shown
// of a running node is filled in by the page's own program, from the stream of package
// live; a report is written whole, and has no program at all.
//
// Colours mean nothing alone: each state has a word and a shape as well.
package page
