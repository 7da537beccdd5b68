package config

import "math"

// init reads what is written into the file of a check when the node starts.
func (c *checker) init(path string, raw *rawCheck, k *Check) {
	k.Overwrite = or(raw.Overwrite, false)
	switch {
	case raw.Init == nil && raw.Overwrite != nil:
		c.add(join(path, "init_overwrite"), "nothing is written", "say what, like init = 0, or remove it")
	case raw.Init == nil:
	case !k.Value:
		c.add(join(path, "init"), "the number in the file does not count", "write value = true, or remove it")
	default:
		v := c.count(join(path, "init"), raw.Init, 0, math.MinInt32, math.MaxInt32)
		k.Init = &v
	}
}
