package keepalived

import "strings"

// Looks tells whether a file is in keepalived's language rather than TOML: by its
// name, or by the first word that is none of a comment, a variable or a condition.
func Looks(name string, src []byte) bool {
	switch {
	case strings.HasSuffix(name, ".conf"):
		return true
	case strings.HasSuffix(name, ".toml"):
		return false
	}
	for l := range strings.SplitSeq(string(src), "\n") {
		l = strings.TrimSpace(uncomment(l))
		if l == "" || l[0] == '@' || l[0] == '$' || l[0] == '~' {
			continue
		}
		words, _ := words(l)
		if len(words) == 0 {
			continue
		}
		first := strings.TrimRight(words[0].text, "{")
		_, included := includeWords[first]
		return included || first == "include_check" || theGrammar.byBlock[""][first] != nil && !strings.Contains(l, "=")
	}
	return false
}
