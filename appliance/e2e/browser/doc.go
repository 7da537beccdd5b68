// Package browser tests the pages in a real browser: Chromium without a window, driven
// over its own protocol. What it shows is looked at by the tests, and by people: the
// pictures go to the directory that UNDERSTUDY_SHOTS names.
//
// Nothing that a page asks for may leave the machine: the browser resolves no name, and
// each request is looked at.
package browser
