package config_test

import (
	"fmt"

	"understudy/appliance/config"
)

func ExampleParse() {
	_, err := config.Parse("gw.toml", []byte(`
node = "gw1"

[[router]]
name = "lan"
interface = "lan0"
vrid = 300
adresses = ["10.0.0.1/24"]
`), config.Options{})
	fmt.Println(err)
	// Output:
	// gw.toml:7: router[0].vrid: 300 is not a VRID; use 1 to 255
	// gw.toml:8: router[0].adresses: unknown key; did you mean addresses? Else remove it
}
