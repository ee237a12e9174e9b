package engine

import (
	"fmt"
	"os"
	"testing"

	"github.com/code2lora/code2lora/internal/kernel"
)

// TestMain makes float32 the precision that tests begin in, whatever the
// environment says.
func TestMain(m *testing.M) {
	if err := kernel.SetPrecision(kernel.Float32); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
