// Package runs holds the training runs whose checkpoints come with the
// program: for each a configuration NAME.yaml and a folder NAME with its
// metrics, its report and its best checkpoint.
package runs

// Checkpoint is a hypernetwork checkpoint that comes with the program.
type Checkpoint struct {
	Name       string
	BaseSHA256 string // of the base model's weights
	Data       []byte // a file of package hypernet
}

// Checkpoints lists one checkpoint for each base that has one.
var Checkpoints []Checkpoint
