// Package installed tests what people install: the packages are built, and put on and
// taken off a machine with systemd (lab/machine), where their units run.
package installed
