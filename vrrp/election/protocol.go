package election

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
)

// revision is raised when a message, or the board, means something else than
// before though it looks the same.
const revision = 1

// Protocol names what crosses the link and stands on the board. After an upgrade
// the two processes may be of different versions; they work together if their
// protocols are equal, and must not begin to if they are not. It follows from the
// types themselves, so that no change of them is forgotten.
var Protocol = sync.OnceValue(func() string {
	h := sha256.New()
	fmt.Fprintln(h, "revision", revision)
	for k := kind(1); k <= lastKind; k++ {
		// Messages without a body are not told from one another by it.
		m, err := Unmarshal([]byte{byte(k), '{', '}'})
		fmt.Fprintf(h, "%d ", k)
		if err != nil { // a fence is not JSON
			m = Fence{}
		}
		describe(h, reflect.TypeOf(m), nil)
	}
	describe(h, reflect.TypeFor[boardPage](), nil)
	return hex.EncodeToString(h.Sum(nil)[:8])
})

// describe writes what a type is made of.
func describe(w io.Writer, t reflect.Type, within []reflect.Type) {
	for _, outer := range within {
		if outer == t {
			fmt.Fprint(w, "again ")
			return
		}
	}
	within = append(within, t)
	fmt.Fprint(w, t.String(), " ", t.Kind(), " ")
	switch t.Kind() {
	case reflect.Map:
		describe(w, t.Key(), within)
		describe(w, t.Elem(), within)
	case reflect.Array:
		fmt.Fprint(w, t.Len(), " ")
		describe(w, t.Elem(), within)
	case reflect.Slice, reflect.Pointer:
		describe(w, t.Elem(), within)
	case reflect.Struct:
		if !strings.HasPrefix(t.PkgPath(), "understudy/") && t.PkgPath() != "" {
			return // it marshals in a form of its own
		}
		for i := range t.NumField() {
			f := t.Field(i)
			fmt.Fprintf(w, "%s %q ", f.Name, f.Tag)
			describe(w, f.Type, within)
		}
	}
}
