// Command testsum reads `go test -json` on standard input, prints failures with
// their output as they come, and ends with what a person wants to know: how many
// tests of this part passed, failed and were skipped, and how long it took.
//
//	go test -json ./... | go run ./.ci/testsum -part unit -total FILE
//
// The counts are added to FILE, so that the last part can print the sum. It
// exits 1 if a test or a build failed, or if there was no test at all; with
// -no-skip also if a test was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

// event is one line of test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

func main() {
	part := flag.String("part", "tests", "name of this part")
	total := flag.String("total", "", "file in which the counts of all parts are added up")
	noSkip := flag.Bool("no-skip", false, "a skipped test fails the part")
	slow := flag.Int("slow", 5, "how many of the slowest tests to name")
	flag.Parse()
	os.Exit(run(*part, *total, *noSkip, *slow))
}

func run(part, total string, noSkip bool, slow int) int {
	start := time.Now()
	output := map[string][]string{}
	var passed, failed int
	var skipped, brokenPackages []string
	type timed struct {
		name string
		s    float64
	}
	var times []timed
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<24)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // a build error, or the tool's own word
			continue
		}
		name := e.Package + " " + e.Test
		leaf := e.Test != ""
		switch e.Action {
		case "output", "build-output":
			output[name] = append(output[name], e.Output)
		case "pass":
			if leaf {
				passed++
				times = append(times, timed{name, e.Elapsed})
			}
			delete(output, name)
		case "skip":
			if leaf {
				skipped = append(skipped, name+": "+reason(output[name]))
			}
			delete(output, name)
		case "fail":
			if leaf {
				failed++
			} else {
				brokenPackages = append(brokenPackages, e.Package)
			}
			fmt.Printf("--- FAIL: %s (%.1fs)\n%s\n", name, e.Elapsed, strings.Join(output[name], ""))
			delete(output, name)
		case "build-fail":
			fmt.Printf("--- BUILD FAILED: %s\n%s\n", e.Package, strings.Join(output[name], ""))
			brokenPackages = append(brokenPackages, e.Package)
		}
	}
	sort.Slice(times, func(i, j int) bool { return times[i].s > times[j].s })
	for i := 0; i < min(slow, len(times)) && times[i].s >= 1; i++ {
		fmt.Printf("  %6.1fs  %s\n", times[i].s, times[i].name)
	}
	for _, s := range skipped {
		fmt.Println("  skipped:", s)
	}
	if len(brokenPackages) > 0 && failed == 0 {
		failed = len(brokenPackages) // a package that died outside any test
	}
	fmt.Printf("%s: %d passed, %d failed, %d skipped in %.0f s\n", part, passed, failed, len(skipped), time.Since(start).Seconds())
	if total != "" {
		f, err := os.OpenFile(total, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprintln(f, passed, failed, len(skipped))
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	switch {
	case failed > 0, passed+len(skipped) == 0, noSkip && len(skipped) > 0:
		return 1
	}
	return 0
}

// reason is the last line a skipped test said.
func reason(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		l := strings.TrimSpace(lines[i])
		if l != "" && !strings.HasPrefix(l, "---") && !strings.HasPrefix(l, "===") {
			return l
		}
	}
	return "no reason given"
}
