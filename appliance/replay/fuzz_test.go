package replay

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in a file, the replay ends in a report or an error.
func FuzzReplay(f *testing.F) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatal("no recordings")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	head := `{"understudy":"recording","format":1,"machine":"election"}` + "\n"
	f.Add([]byte(head + `{"t":1,"state":{"routers":[{"#":1,"v":{"group":{"members":[{"@":1}]}}}],"groups":[null]}}` + "\n" + `{"t":2,"do":"step","in":{"Kind":"tick"},"out":{}}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = Replay(bytes.NewReader(b)) })
}
