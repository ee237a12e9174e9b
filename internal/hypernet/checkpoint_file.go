package hypernet

import (
	"errors"
	"fmt"
	"strings"

	"github.com/code2lora/code2lora/internal/safetensors"
)

// Save writes a checkpoint to path, whole or not at all. Parameters are stored
// as dtype, F16 for a release or F32 for exact values; buffers always as F32.
// A value that is not finite, or too large for dtype, is an error: it would not
// load again.
func Save(path string, c *Checkpoint, dtype safetensors.DType) error {
	if dtype != safetensors.F16 && dtype != safetensors.F32 {
		return fmt.Errorf("checkpoint values of type %s: want %s or %s", dtype, safetensors.F16, safetensors.F32)
	}
	metadata, err := c.describe()
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	ts := WriteTensors(c.Head)
	for _, name := range ts.Names() {
		t := ts[name]
		if t.Data == nil {
			return fmt.Errorf("tensor %q has no values: train the head or read its tensors before saving it", name)
		}
		if err := checkTensor(name, t, t.Shape); err != nil {
			return err
		}
		as := dtype
		if strings.HasPrefix(name, bufferPrefix) {
			as = safetensors.F32
		}
		tensors = append(tensors, safetensors.Float32Tensor(name, as, t.Shape, t.Data))
	}
	return safetensors.Write(path, tensors, map[string]string{MetadataKey: metadata})
}

// Load reads a checkpoint that [Save] wrote. It refuses files with missing or
// unknown tensors, wrong shapes, or values that are not finite, and allocates
// no more than a small multiple of the file's size.
func Load(path string) (*Checkpoint, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer f.Close()
	c, err := load(f)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return c, nil
}

func load(f *safetensors.File) (*Checkpoint, error) {
	c, err := parseDescription(f.Metadata()[MetadataKey])
	if err != nil {
		return nil, err
	}
	for _, name := range f.Names() {
		if info, _ := f.Info(name); info.DType != safetensors.F16 && info.DType != safetensors.F32 {
			return nil, fmt.Errorf("tensor %q: type %s, want %s or %s", name, info.DType, safetensors.F16, safetensors.F32)
		}
	}
	if err := ReadTensors(c.Head, f); err != nil {
		return nil, err
	}
	return c, nil
}

// ReadInfo reads what a checkpoint says about itself, and nothing more: the
// head in the result has no values.
func ReadInfo(path string) (*Checkpoint, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := parseDescription(f.Metadata()[MetadataKey])
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return c, nil
}
