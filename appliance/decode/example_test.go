package decode_test

import (
	"fmt"
	"io"
	"strings"

	"understudy/appliance/decode"
)

// Every frame of an input gets its verdict.
func Example() {
	source, err := decode.Open(strings.NewReader(
		"01005e000012 00005e000135 0800 45c0002000010000fe70d0990a000101e0000012 3135c8010064fb5c0a000108\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	var judge decode.Judge
	for {
		frame, err := source.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		result := judge.Frame(frame)
		fmt.Println(result.Protocol, result.Reason, result.Fields.Get("vrid"))
	}
	// Output: vrrp ttl 53
}
