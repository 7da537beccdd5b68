package understudy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are all pages of the documentation, by their path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q (%v)", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out[file] = string(text)
		}
	}
	return out
}

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	inline  = regexp.MustCompile("`[^`\n]*`")
	linked  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	spoken  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the places of a page that a link can lead to, as GitHub names them.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.ToLower(linked.ReplaceAllString(h[1], ""))
		out[strings.ReplaceAll(spoken.ReplaceAllString(name, ""), " ", "-")] = true
	}
	return out
}

// TestDocsLinks: each link between pages leads to a file, and to a heading in it, that
// is there; and from the index of docs every page can be reached at once.
func TestDocsLinks(t *testing.T) {
	all, seen := pages(t), 0
	for file, text := range all {
		text = inline.ReplaceAllString(fenced.ReplaceAllString(text, ""), "")
		for _, l := range linked.FindAllStringSubmatch(text, -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			seen++
			to, anchor, _ := strings.Cut(l[1], "#")
			path := file
			if to != "" {
				path = filepath.Join(filepath.Dir(file), to)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, l[1])
			} else if anchor != "" && !anchors(all[path])[anchor] {
				t.Errorf("%s: the link %s: no heading of %s has that name", file, l[1], path)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d links were looked at", seen)
	}
	for file := range all {
		if name, ok := strings.CutPrefix(file, "docs/"); ok && !strings.Contains(name, "/") && name != "README.md" && !strings.Contains(all["docs/README.md"], "]("+name+")") {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

var (
	indented = regexp.MustCompile(`(?m)^    .*$`)
	typed    = regexp.MustCompile(`(?m)(?:^|[;&|]|\bsudo|[#$])\s*(?:bin/)?understudy ([^\s;&|>#][^;&|>#\n]*)`)
	// sayings are no commands, though they begin with the name of the program.
	sayings = []string{"understudy is already running", "understudy session link, node key"}
	made    = regexp.MustCompile(`(?:^|[;&|]|\bsudo)\s*make ([a-z-]+)`)
)

// TestDocsCommands: what pages have people type is there: commands of ours with their
// flags, as docs/commands.md (which is made of the code) has them, and targets of make.
func TestDocsCommands(t *testing.T) {
	all, commands := pages(t), map[string]string{}
	for _, part := range strings.Split(all["docs/commands.md"], "\n## understudy ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		commands[name] = text
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for file, text := range all {
		if file == "docs/commands.md" || strings.HasPrefix(file, "docs/adr/") {
			continue // what is decided is not rewritten
		}
		var code []string
		for _, block := range fenced.FindAllString(text, -1) {
			code = append(code, strings.Split(block, "\n")...)
		}
		text = fenced.ReplaceAllString(text, "")
		code = append(code, indented.FindAllString(text, -1)...)
		for _, c := range inline.FindAllString(text, -1) {
			code = append(code, strings.Trim(c, "`"))
		}
		for _, line := range code {
			line = strings.TrimSpace(line)
			for _, m := range made.FindAllStringSubmatch(line, -1) {
				if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
					t.Errorf("%s: %q: make has no target %s", file, line, m[1])
				}
			}
			for _, m := range typed.FindAllStringSubmatch(line, -1) {
				words := strings.Fields(m[1])
				if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(words[0]) || slices.ContainsFunc(sayings, func(s string) bool { return strings.HasPrefix(line, s) }) {
					continue // a version, an ellipsis
				}
				name := words[0]
				if len(words) > 1 && commands[name+" "+words[1]] != "" {
					name += " " + words[1]
				}
				if commands[name] == "" {
					t.Errorf("%s: %q: there is no command understudy %s", file, line, name)
					continue
				}
				seen++
				if name == "keepalived" {
					continue // its flags are keepalived's
				}
				if i := slices.Index(words, "--"); i >= 0 {
					words = words[:i] // of another program
				}
				for _, word := range words {
					flag, _, _ := strings.Cut(strings.Trim(word, "()[].,"), "=")
					if strings.HasPrefix(flag, "-") && len(flag) > 1 && !regexp.MustCompile(`(^|[ ,])`+regexp.QuoteMeta(flag)+`\b`).MatchString(commands[name]) {
						t.Errorf("%s: %q: understudy %s has no flag %s", file, line, name, flag)
					}
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

// TestDocsExample: the pair that the README shows is the one of etc/examples.
func TestDocsExample(t *testing.T) {
	example, err := os.ReadFile("etc/examples/gw1.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(pages(t)["README.md"], "```toml\n")
	text, _, _ = strings.Cut(text, "```")
	said := func(text string) (out []string) {
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if f := strings.Fields(line); len(f) > 0 {
				out = append(out, strings.Join(f, " "))
			}
		}
		return out
	}
	if have, want := said(text), said(string(example)); !slices.Equal(have, want) {
		t.Errorf("the README's example is another one than etc/examples/gw1.toml:\n%s\n\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}
