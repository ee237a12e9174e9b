package tune

import "github.com/code2lora/code2lora/internal/kernel"

// Tests begin in float32, which every processor has, whatever the environment says.
func init() { _ = kernel.SetPrecision(kernel.Float32) }
