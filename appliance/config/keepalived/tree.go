package keepalived

import "strings"

// Node is a line of the configuration, with the block that it opens.
type Node struct {
	Word     string   // the first word
	Args     []string // the others
	Block    bool     // it has one, empty or not
	Children []*Node
	At       Place
}

// maxDepth bounds nested blocks.
const maxDepth = 32

// treeOf makes a tree of lines.
func treeOf(lines []line, say func(Place, Level, string, ...any)) *Node {
	root := &Node{Block: true}
	stack := []*Node{root}
	var last *Node // what a { on a line of its own belongs to
	tooDeep := 0
	for _, l := range lines {
		list, open := words(l.text)
		if open {
			say(l.at, Fault, "Unmatched quote: '%s'", l.text)
		}
		var current *Node
		for _, w := range brace(list) {
			top := stack[len(stack)-1]
			switch {
			case w.text == "{" && !w.quoted:
				if tooDeep > 0 || len(stack) > maxDepth {
					if tooDeep == 0 {
						say(l.at, Fault, "blocks are more than %d deep", maxDepth)
					}
					tooDeep++
					continue
				}
				if last == nil || last.Block {
					say(l.at, Fault, "Unexpected '{' - ignoring")
					last = &Node{At: l.at} // what is in it is skipped
				}
				last.Block = true
				stack = append(stack, last)
				current, last = nil, nil
			case w.text == "}" && !w.quoted:
				current, last = nil, nil
				switch {
				case tooDeep > 0:
					tooDeep--
				case len(stack) == 1:
					say(l.at, Fault, "Unexpected '}' - ignoring")
				default:
					stack = stack[:len(stack)-1]
				}
			case tooDeep > 0:
			case current != nil:
				current.Args = append(current.Args, w.text)
			default:
				current = &Node{Word: w.text, At: l.at}
				last = current
				top.Children = append(top.Children, current)
			}
		}
	}
	return root
}

// brace parts braces from words that they are written together with: {a} and a{ are
// what they look like.
func brace(list []word) (out []word) {
	for _, w := range list {
		if w.quoted || !strings.ContainsAny(w.text, "{}") {
			out = append(out, w)
			continue
		}
		from := 0
		for i := 0; i < len(w.text); i++ {
			switch w.text[i] {
			case '\\':
				i++
			case '{', '}':
				if i > from {
					out = append(out, word{text: w.text[from:i]})
				}
				out = append(out, word{text: w.text[i : i+1]})
				from = i + 1
			}
		}
		if from < len(w.text) {
			out = append(out, word{text: w.text[from:]})
		}
	}
	return out
}

// arg is the n-th word behind the first, "" if there is none.
func (n *Node) arg(i int) string {
	if i < len(n.Args) {
		return n.Args[i]
	}
	return ""
}

// all are the words of a line.
func (n *Node) all() []string { return append([]string{n.Word}, n.Args...) }
