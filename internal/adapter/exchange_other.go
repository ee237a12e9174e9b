//go:build !linux

package adapter

import "errors"

// exchange swaps two folders in one step, which only Linux can.
func exchange(a, b string) error { return errors.ErrUnsupported }
