//go:build !linux

package execute

import (
	"context"
	"fmt"
	"runtime"
)

// Init does nothing here: see the version for Linux.
func Init() {}

func run(context.Context, Program, Limits) (*Outcome, error) {
	return nil, fmt.Errorf("%w: it needs the namespaces of Linux, and this is %s", ErrUnsupported, runtime.GOOS)
}
