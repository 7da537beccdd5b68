package dropin

import "path/filepath"

// Where pid files are.
const (
	runDir = "/run"
	pidDir = "/run/keepalived" // of a process that shares the machine with others of its kind
)

// PIDPaths are the files that name the process, with those of its parts that the command
// line or the file does not name. Checks: there are servers to check.
func (o Options) PIDPaths(checks bool) []string {
	list := []string{o.pidPath(o.PIDFile, "keepalived"), o.pidPath(o.VRRPPIDFile, "vrrp")}
	if checks || o.CheckPIDFile != "" {
		list = append(list, o.pidPath(o.CheckPIDFile, "checkers"))
	}
	return list
}

func (o Options) pidPath(given, name string) string {
	if given != "" {
		return given
	}
	if o.Instance != "" {
		name += "_" + o.Instance
	}
	dir := runDir
	switch {
	case o.Namespace != "":
		dir = filepath.Join(pidDir, o.Namespace)
	case o.Instance != "" || o.PIDDir:
		dir = pidDir
	}
	return filepath.Join(dir, name+".pid")
}

// Alone tells whether the process is the only keepalived of the machine, as far as it
// has been told.
func (o Options) Alone() bool { return o.PIDFile == "" && o.Namespace == "" && o.Instance == "" }
