package hypernet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// RecurrencePrefix begins the names of the tensors in a checkpoint file that
// belong to a recurrence over commits and not to the head.
const RecurrencePrefix = "recurrence."

// Recurrence is what the file of a checkpoint has beside its head if the head's
// context is the state of a recurrence over commits; see package evolve.
type Recurrence struct {
	Description json.RawMessage
	Tensors     TensorMap // by their names without [RecurrencePrefix]
}

// Save writes a checkpoint to path, whole or not at all. Parameters are stored
// as dtype, F16 for a release or F32 for exact values; buffers always as F32.
// A value that is not finite, or too large for dtype, is an error: it would not
// load again.
func Save(path string, c *Checkpoint, dtype safetensors.DType) error {
	return SaveRecurrent(path, c, nil, dtype)
}

// SaveRecurrent is [Save] of a checkpoint with its recurrence, which may be nil.
func SaveRecurrent(path string, c *Checkpoint, r *Recurrence, dtype safetensors.DType) error {
	if dtype != safetensors.F16 && dtype != safetensors.F32 {
		return fmt.Errorf("checkpoint values of type %s: want %s or %s", dtype, safetensors.F16, safetensors.F32)
	}
	if r == nil {
		r = &Recurrence{}
	}
	metadata, err := c.describe(r.Description)
	if err != nil {
		return err
	}
	ts := WriteTensors(c.Head)
	for name, t := range r.Tensors {
		ts[RecurrencePrefix+name] = t
	}
	var tensors []safetensors.Tensor
	for _, name := range ts.Names() {
		t := ts[name]
		if t.Data == nil {
			return fmt.Errorf("tensor %q has no values: train the head or read its tensors before saving it", name)
		}
		if err := checkTensor(name, t, t.Shape); err != nil {
			return err
		}
		as := dtype
		if strings.HasPrefix(strings.TrimPrefix(name, RecurrencePrefix), bufferPrefix) {
			as = safetensors.F32
		}
		tensors = append(tensors, safetensors.Float32Tensor(name, as, t.Shape, t.Data))
	}
	return safetensors.Write(path, tensors, map[string]string{MetadataKey: metadata})
}

// Load reads a checkpoint that [Save] wrote. It refuses files with missing or
// unknown tensors, wrong shapes, or values that are not finite, and allocates
// no more than a small multiple of the file's size. The error is [ErrRecurrent]
// for a file with a recurrence.
func Load(path string) (*Checkpoint, error) {
	c, r, err := open(path, load)
	if err == nil && r != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, ErrRecurrent)
	}
	return c, err
}

// LoadRecurrent reads what [SaveRecurrent] wrote, as [Load] does. The error is
// [ErrNotRecurrent] for a file without a recurrence, whose tensors the caller has
// to check.
func LoadRecurrent(path string) (*Checkpoint, *Recurrence, error) {
	c, r, err := open(path, load)
	if err == nil && r == nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", path, ErrNotRecurrent)
	}
	return c, r, err
}

// ReadInfo reads what a checkpoint says about itself, and nothing more: the
// head in the result has no values. The error is [ErrRecurrent] for a file with
// a recurrence.
func ReadInfo(path string) (*Checkpoint, error) {
	c, r, err := open(path, func(f *safetensors.File) (*Checkpoint, *Recurrence, error) {
		c, recurrence, err := parseDescription(f.Metadata()[MetadataKey])
		if recurrence == nil {
			return c, nil, err
		}
		return c, &Recurrence{Description: recurrence}, err
	})
	if err == nil && r != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, ErrRecurrent)
	}
	return c, err
}

func open(path string, read func(*safetensors.File) (*Checkpoint, *Recurrence, error)) (*Checkpoint, *Recurrence, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, r, err := read(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return c, r, nil
}

func load(f *safetensors.File) (*Checkpoint, *Recurrence, error) {
	c, description, err := parseDescription(f.Metadata()[MetadataKey])
	if err != nil {
		return nil, nil, err
	}
	for _, name := range f.Names() {
		if info, _ := f.Info(name); info.DType != safetensors.F16 && info.DType != safetensors.F32 {
			return nil, nil, fmt.Errorf("tensor %q: type %s, want %s or %s", name, info.DType, safetensors.F16, safetensors.F32)
		}
	}
	if description == nil {
		return c, nil, ReadTensors(c.Head, f)
	}
	r := &Recurrence{Description: description, Tensors: TensorMap{}}
	for _, name := range f.Names() {
		own, ok := strings.CutPrefix(name, RecurrencePrefix)
		if !ok {
			continue
		}
		data, err := f.Float32s(name)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		shape, _ := f.Shape(name)
		r.Tensors[own] = embedding.Tensor{Shape: shape, Data: data}
		if err := checkTensor(name, r.Tensors[own], shape); err != nil {
			return nil, nil, err
		}
	}
	return c, r, ReadTensors(c.Head, headOnly{f})
}

// headOnly is a file without the tensors of its recurrence.
type headOnly struct{ *safetensors.File }

// Names lists the tensors of the head.
func (f headOnly) Names() (names []string) {
	for _, name := range f.File.Names() {
		if !strings.HasPrefix(name, RecurrencePrefix) {
			names = append(names, name)
		}
	}
	return names
}
