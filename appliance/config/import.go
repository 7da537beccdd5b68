package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"understudy/appliance/config/keepalived"
)

// Imported is a keepalived.conf, and what has become of it.
type Imported struct {
	Config   *Config
	TOML     string               // a file of ours that means the same
	Messages []keepalived.Message // what it could not say, in the order of the lines
}

// ImportOptions are what a keepalived.conf becomes beside what it says.
type ImportOptions struct {
	Options
	Conntrackd     string // name of a conntrackd.conf; "": none
	ConntrackdText []byte
	Peer           netip.Addr // the other node, if no file names it
	SecretFile     string     // "": where it usually is
}

// Import reads a keepalived.conf. What cannot work is left out, with a message; the
// error, [Problems], says that nothing is left that could.
func Import(name string, src []byte, o ImportOptions) (*Imported, error) {
	out := &Imported{}
	file, said := keepalived.Parse(name, src, o.World)
	out.Messages = said
	convert := keepalived.Options{Peer: o.Peer, SecretFile: o.SecretFile}
	if o.Conntrackd != "" {
		d, said := keepalived.ParseConntrackd(o.Conntrackd, o.ConntrackdText)
		convert.Conntrackd = d
		out.Messages = append(out.Messages, said...)
	}
	if convert.Conntrackd == nil {
		convert.Conntrackd = file.SyncDaemon()
	}
	return out, out.finish(name, file, convert, o.Options)
}

// finish converts what was read, and takes out what the checks refuse until they
// refuse nothing.
func (out *Imported) finish(name string, file *keepalived.File, convert keepalived.Options, o Options) error {
	doc, said := keepalived.Convert(file, convert, o.World)
	for {
		doc.Forward()
		c, problems := checkTree(name, doc.Tree(), originsOf(doc), o)
		if len(problems) == 0 {
			out.Config = c
			c.Spoken = &Spoken{File: file, Names: doc.Names, called: doc.Called}
			break
		}
		if !out.remove(doc, problems) {
			out.Messages = append(out.Messages, said...)
			out.sort(name)
			return problems
		}
		if convert.Conntrackd != nil && !doc.Has("sessions") {
			// Then conntrackd does it, and is told of changes by the programs that do so now.
			convert.Conntrackd = nil
			doc, said = keepalived.Convert(file, convert, o.World)
		}
	}
	out.Messages = append(out.Messages, said...)
	doc.Head = []string{"What " + filepath.Base(name) + " says, in the language of Understudy.", "Behind each key: the line that it comes of."}
	out.TOML = doc.TOML()
	out.sort(name)
	for _, m := range out.Messages {
		if m.Level != keepalived.Note {
			out.Config.Warnings = append(out.Config.Warnings, m.String())
		}
	}
	return nil
}

// remove takes what is refused out of the document; false: it cannot.
func (out *Imported) remove(doc *keepalived.Document, problems Problems) bool {
	gone := map[string]bool{}
	// From the end on, so that the positions of what is before stay.
	for _, p := range slices.Backward(problems) {
		target := removable(p.path)
		if target == "" {
			return false
		}
		out.Messages = append(out.Messages, keepalived.Message{Place: keepalived.Place{File: p.File, Line: p.Line}, Level: keepalived.Warning,
			Text: fmt.Sprintf("%s: not carried over: %s; %s", p.Key, p.What, p.Fix)})
		for target != "" && !gone[target] && !gone[around(target)] {
			gone[target] = true
			if doc.Remove(target) {
				break
			}
			target = around(target) // it is missing: without it, what is around it cannot be
		}
	}
	return len(gone) > 0
}

// sort puts messages in the order of lines, those of the main file first.
func (out *Imported) sort(name string) {
	slices.SortStableFunc(out.Messages, func(a, b keepalived.Message) int {
		switch {
		case a.File != b.File && a.File == name:
			return -1
		case a.File != b.File && b.File == name:
			return 1
		case a.File != b.File:
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
}

// vital are keys without which a table cannot be.
var vital = map[string]bool{"name": true, "interface": true, "vrid": true, "addresses": true, "routers": true, "priority": true, "version": true,
	"unicast": true, "source": true, "auth_pass": true, "auth_type": true}

// removable is what has to go if what is at path is refused: an element of a list, a
// key that can be left out, a table that cannot be without. "": nothing can.
func removable(path string) string {
	parts := strings.Split(path, ".")
	head := parts[0]
	switch {
	case strings.HasPrefix(head, "sessions"):
		return "sessions"
	case head == "static" && len(parts) > 1:
		return head + "." + parts[1]
	case head == "mail":
		return removableMail(parts)
	case head == "nat" && len(parts) > 1 && strings.HasSuffix(parts[1], "]"):
		return removableEntry(parts)
	case !strings.HasSuffix(head, "]"):
		return ""
	case len(parts) == 1 || strings.HasPrefix(head, "check["):
		return head
	case strings.HasSuffix(parts[1], "]"):
		return head + "." + parts[1]
	case vital[parts[1]]:
		return head
	}
	return head + "." + parts[1]
}

// removableMail is the same of [mail].
func removableMail(parts []string) string {
	if len(parts) == 1 || parts[1] == "server" || parts[1] == "to" {
		return "mail"
	}
	return strings.Join(parts, ".")
}

// vitalEntry are keys without which an entry point cannot be.
var vitalEntry = map[string]bool{"name": true, "address": true, "fwmark": true, "router": true, "servers": true, "steer": true}

// removableEntry is the same of an entry point: one of its servers, or a key.
func removableEntry(parts []string) string {
	switch {
	case len(parts) == 2 || vitalEntry[parts[2]]:
		return strings.Join(parts[:2], ".")
	}
	return strings.Join(parts[:3], ".")
}

// around is the element of a top-level list that a path is in.
func around(path string) string {
	head, rest, nested := strings.Cut(path, ".")
	if head == "nat" {
		entry, _, nested := strings.Cut(rest, ".")
		if !nested || !strings.HasSuffix(entry, "]") {
			return ""
		}
		return head + "." + entry
	}
	if !nested || !strings.HasSuffix(head, "]") {
		return ""
	}
	return head
}

// originsOf is where in keepalived.conf the keys of a document come of.
func originsOf(doc *keepalived.Document) *index {
	ix := &index{at: map[string]position{}}
	n := 0
	doc.Walk(func(path string, o keepalived.Origin) {
		n++
		ix.at[path] = position{line: max(1, o.Line), offset: n, file: o.File, word: o.Word}
	})
	return ix
}

// parseKeepalived reads a keepalived.conf to run by it.
func parseKeepalived(name string, src []byte, o Options) (*Config, error) {
	out := &Imported{}
	file, said := keepalived.Parse(name, src, o.World)
	out.Messages = said
	convert := out.conntrackd(name, file, o)
	if err := out.finish(name, file, convert, o); err != nil {
		return nil, err
	}
	return out.Config, nil
}

// Where the files are that a keepalived.conf does not name.
const (
	conntrackdFile = "conntrackd.conf" // beside it, else in
	conntrackdDir  = "/etc/conntrackd"
	secretBeside   = "understudy.secret" // beside it, else
	secretFile     = "/etc/understudy/secret"
)

// conntrackd finds out what conntrackd was told, if the configuration has it moved
// about. Without a cluster secret nothing comes of it.
func (out *Imported) conntrackd(name string, file *keepalived.File, o Options) (convert keepalived.Options) {
	convert.Before = o.Before
	if sync := file.SyncDaemon(); sync != nil && !file.Glued() && o.ReadSecret != nil {
		return out.syncDaemon(name, sync, o)
	}
	if !file.Glued() || o.World.Open == nil || o.ReadSecret == nil {
		return convert
	}
	say := func(format string, args ...any) {
		out.Messages = append(out.Messages, keepalived.Message{Place: keepalived.Place{File: name}, Level: keepalived.Warning, Text: fmt.Sprintf(format, args...)})
	}
	dir := filepath.Dir(name)
	for _, path := range []string{filepath.Join(dir, conntrackdFile), filepath.Join(conntrackdDir, conntrackdFile)} {
		text, err := o.World.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			say("conntrackd: %v: connections are left to conntrackd", err)
			return convert
		}
		if secret := secretFor(dir, o); secret != "" {
			d, said := keepalived.ParseConntrackd(path, text)
			out.Messages = append(out.Messages, said...)
			return keepalived.Options{Conntrackd: d, SecretFile: secret, Before: o.Before}
		}
		say("connections are left to conntrackd: there is no cluster secret; make one with `understudy keygen` and put it on both nodes, as %s", secretFile)
		return convert
	}
	say("connections are left to conntrackd: there is no %s, here or in %s", conntrackdFile, conntrackdDir)
	return convert
}

// secretFor finds the cluster secret of a keepalived.conf in dir; "": there is none.
func secretFor(dir string, o Options) string {
	for _, secret := range []string{filepath.Join(dir, secretBeside), secretFile} {
		if _, _, err := o.ReadSecret(secret); !errors.Is(err, fs.ErrNotExist) {
			return secret
		}
	}
	return ""
}

// syncDaemon keeps connections where IPVS's own synchronisation was to do it. Without a
// cluster secret nothing comes of it.
func (out *Imported) syncDaemon(name string, sync *keepalived.Conntrackd, o Options) keepalived.Options {
	if secret := secretFor(filepath.Dir(name), o); secret != "" {
		return keepalived.Options{Conntrackd: sync, SecretFile: secret, Before: o.Before}
	}
	out.Messages = append(out.Messages, keepalived.Message{Place: sync.At, Level: keepalived.Warning,
		Text: fmt.Sprintf("%s: not carried over: there is no cluster secret; make one with `understudy keygen` and put it on both nodes, as %s", sync.Word, secretFile)})
	return keepalived.Options{Before: o.Before}
}
