package hypernet

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
)

// FormatVersion is the version of the checkpoint format that this package
// writes, and the only one that it reads.
const FormatVersion = 1

// MetadataKey is the key of a checkpoint's description in the metadata of its
// safetensors file.
const MetadataKey = "code2lora"

// Info is what a checkpoint says about itself, apart from its tensors.
type Info struct {
	Name         string       // such as "smollm2-135m-v1"
	Base         adapter.Base // the frozen model it was trained for
	Encoder      string       // id of the encoder whose representations it reads
	Config       string       // SHA-256 of the training configuration, lower-case hex
	Tool         string       // program and version that wrote it
	Repositories int          // training repositories
	Tasks        int          // training tasks
	Step         int          // optimiser steps taken
	// ValidationLoss is in nats per target token; nil if it was not measured.
	ValidationLoss *float64
	// SpaceWithTarget: in training the blanks before a target were part of it.
	// Prompts should end before them.
	SpaceWithTarget bool
}

// Checkpoint is a trained head with its description.
//
// On disk it is one safetensors file. Its metadata has the description as JSON
// under [MetadataKey]; its tensors are the head's parameters, in float16 or
// float32, and its buffers (names beginning with "input."), in float32.
type Checkpoint struct {
	Info
	Head Head
}

// Generate returns the adapter for a repository, which must have been read with
// the encoder of the checkpoint. The provenance has what the checkpoint and the
// representation know: base, encoder, digest of the input, files and tokens
// read, and the checkpoint's name.
func (c *Checkpoint) Generate(rep *embedding.Representation) (*adapter.Adapter, error) {
	if rep.Encoder != c.Encoder {
		return nil, fmt.Errorf("%w: it reads %q, and the repository was encoded with %q", ErrEncoder, c.Encoder, rep.Encoder)
	}
	a, _, err := c.Head.Generate(rep)
	if err != nil {
		return nil, err
	}
	a.Provenance = adapter.Provenance{Base: c.Base, Encoder: rep.Encoder, EncoderInput: rep.Input,
		Checkpoint: c.Name, Files: rep.Files, Tokens: rep.Tokens}
	return a, nil
}

// ErrRecurrent is returned for the file of a head whose context is the state of a
// recurrence over commits: without its other half it makes no adapters.
var ErrRecurrent = errors.New("a checkpoint that follows commits: use update or adapt --mode evo with it, or take a checkpoint of snapshots")

// ErrNotRecurrent is returned for a checkpoint that has a head and no recurrence.
var ErrNotRecurrent = errors.New("not a checkpoint that follows commits: use adapt without --mode evo, or train one with a recurrence section")

// ErrEncoder is returned when a representation was not made by the encoder that
// a checkpoint was trained with.
var ErrEncoder = errors.New("checkpoint was trained with another encoder")

// AverageAdapter returns the adapter at the mean of the training repositories;
// see Average of the head for what that means. A [Factored] head's is exactly
// its repository-independent part; a [Direct] head is evaluated at the mean
// vector, which is not the mean of its adapters. Its provenance is empty but
// for the base, the encoder and the checkpoint's name.
func (c *Checkpoint) AverageAdapter() (*adapter.Adapter, error) {
	a, err := c.Head.Average()
	if err != nil {
		return nil, err
	}
	a.Provenance = adapter.Provenance{Base: c.Base, Encoder: c.Encoder, Checkpoint: c.Name}
	return a, nil
}

// description is the JSON form of a checkpoint's metadata.
type description struct {
	FormatVersion   int             `json:"format_version"`
	Kind            string          `json:"kind"`
	Options         json.RawMessage `json:"options"`
	Dims            dimsJSON        `json:"dims"`
	Name            string          `json:"name,omitempty"`
	Base            adapter.Base    `json:"base"`
	Encoder         string          `json:"encoder"`
	Config          string          `json:"config_sha256,omitempty"`
	Tool            string          `json:"tool,omitempty"`
	Repositories    int             `json:"repositories"`
	Tasks           int             `json:"tasks"`
	Step            int             `json:"step"`
	ValidationLoss  *float64        `json:"validation_loss,omitempty"`
	SpaceWithTarget bool            `json:"space_with_target,omitempty"`
	Recurrence      json.RawMessage `json:"recurrence,omitempty"` // see [Recurrence]
}

// dimsJSON is [adapter.Dims] with the names of config.json, and [in, out] by
// module name, as type_dims of the authors' checkpoints.
type dimsJSON struct {
	Arch              string            `json:"arch"`
	NumHiddenLayers   int               `json:"num_hidden_layers"`
	NumAttentionHeads int               `json:"num_attention_heads"`
	NumKeyValueHeads  int               `json:"num_key_value_heads"`
	Modules           map[string][2]int `json:"modules"`
}

func dimsToJSON(d adapter.Dims) dimsJSON {
	j := dimsJSON{d.Arch, d.NumHiddenLayers, d.NumAttentionHeads, d.NumKeyValueHeads, map[string][2]int{}}
	for m, s := range d.Modules {
		j.Modules[adapter.Module(m).String()] = [2]int{s.In, s.Out}
	}
	return j
}

func dimsFromJSON(j dimsJSON) (adapter.Dims, error) {
	d := adapter.Dims{Arch: j.Arch, NumHiddenLayers: j.NumHiddenLayers,
		NumAttentionHeads: j.NumAttentionHeads, NumKeyValueHeads: j.NumKeyValueHeads}
	for name, s := range j.Modules {
		m, err := adapter.ParseModule(name)
		if err != nil {
			return d, fmt.Errorf("dims: %w", err)
		}
		d.Modules[m] = adapter.Shape{In: s[0], Out: s[1]}
	}
	return d, nil
}

// describe makes the metadata of a checkpoint, with the description of its
// recurrence or nil.
func (c *Checkpoint) describe(recurrence json.RawMessage) (string, error) {
	options, err := json.Marshal(c.Head.Options())
	if err != nil {
		return "", fmt.Errorf("options of %s head: %w", c.Head.Kind(), err)
	}
	raw, err := json.Marshal(description{
		FormatVersion: FormatVersion, Kind: c.Head.Kind(), Options: options, Dims: dimsToJSON(c.Head.Dims()),
		Name: c.Name, Base: c.Base, Encoder: c.Encoder, Config: c.Config, Tool: c.Tool,
		Repositories: c.Repositories, Tasks: c.Tasks, Step: c.Step, ValidationLoss: c.ValidationLoss, SpaceWithTarget: c.SpaceWithTarget,
		Recurrence: recurrence,
	})
	return string(raw), err
}

// parseDescription reads metadata and lays out the head that it describes,
// without allocating it. Fields that a later program of the same format version
// may add are ignored; options are not. recurrence is nil without one.
func parseDescription(metadata string) (c *Checkpoint, recurrence json.RawMessage, err error) {
	if metadata == "" {
		return nil, nil, fmt.Errorf("the metadata has no %q: not a hypernetwork checkpoint", MetadataKey)
	}
	var d description
	if err := json.Unmarshal([]byte(metadata), &d); err != nil {
		return nil, nil, fmt.Errorf("metadata %q: %w", MetadataKey, err)
	}
	if d.FormatVersion != FormatVersion {
		return nil, nil, fmt.Errorf("checkpoint format %d, and this program reads format %d", d.FormatVersion, FormatVersion)
	}
	if d.Repositories < 0 || d.Tasks < 0 || d.Step < 0 {
		return nil, nil, errors.New("metadata: negative number of repositories, tasks or steps")
	}
	dims, err := dimsFromJSON(d.Dims)
	if err != nil {
		return nil, nil, err
	}
	head, err := New(d.Kind, d.Options, Setup{Dims: dims})
	if err != nil {
		return nil, nil, err
	}
	return &Checkpoint{Head: head, Info: Info{
		Name: d.Name, Base: d.Base, Encoder: d.Encoder, Config: d.Config, Tool: d.Tool,
		Repositories: d.Repositories, Tasks: d.Tasks, Step: d.Step, ValidationLoss: d.ValidationLoss, SpaceWithTarget: d.SpaceWithTarget,
	}}, d.Recurrence, nil
}
