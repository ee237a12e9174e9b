// Package runs holds the training runs whose checkpoints come with the
// program: for each a configuration NAME.yaml and a folder NAME with its
// metrics, its report and its best checkpoint.
package runs

import _ "embed" // for the checkpoints

// Checkpoint is a hypernetwork checkpoint that comes with the program.
type Checkpoint struct {
	Name       string
	BaseSHA256 string // of the base model's weights
	Data       []byte // a file of package hypernet
}

//go:embed smollm2-135m/checkpoint.safetensors
var smollm2 []byte

// Checkpoints lists one checkpoint for each base that has one.
var Checkpoints = []Checkpoint{
	{"smollm2-135m", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", smollm2},
}
