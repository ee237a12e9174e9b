package evolve

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// Checkpoint is a trained recurrence with the head that reads its contexts.
//
// On disk it is one safetensors file: that of a [hypernet.Checkpoint], with the
// tensors of the recurrence under [hypernet.RecurrencePrefix] and the names of
// [GRU], and the settings as JSON under "recurrence" in the description.
type Checkpoint struct {
	hypernet.Info // Encoder is that of repositories
	Head          hypernet.ContextHead
	GRU           *GRU
	Inputs        *Inputs
	Settings      Settings
}

// contextTensor is the name of a context in a representation.
const contextTensor = "state"

// NewHead lays out a head that reads contexts of H values. Its options must say
// nothing of the input, which is decided: the context as it is.
func NewHead(kind string, options map[string]any, dims adapter.Dims, H int) (hypernet.ContextHead, error) {
	for _, name := range []string{"input", "inject"} {
		if _, ok := options[name]; ok {
			return nil, fmt.Errorf("option %s: the head of a recurrence reads the context and nothing else", name)
		}
	}
	all := map[string]any{}
	maps.Copy(all, options)
	all["input"] = map[string]any{"tensor": contextTensor, "dim": H, "standardize": hypernet.StandardizeNone, "clip": 0}
	head, err := hypernet.New(kind, all, hypernet.Setup{Dims: dims, Inputs: map[string][]int{contextTensor: {H}}})
	if err != nil {
		return nil, err
	}
	return contextHead(head, H)
}

// contextHead checks that a head reads contexts of H values.
func contextHead(head hypernet.Head, H int) (hypernet.ContextHead, error) {
	c, ok := head.(hypernet.ContextHead)
	if !ok {
		return nil, fmt.Errorf("%s head: it reads no context, so no recurrence can give it one", head.Kind())
	}
	if c.ContextSize() != H {
		return nil, fmt.Errorf("%s head: it reads a context of %d values, and the recurrence gives %d", head.Kind(), c.ContextSize(), H)
	}
	return c, nil
}

// FitHead measures what a head keeps of the contexts of training repositories:
// their mean, for the average adapter, and what coefficients are centred on.
func FitHead(head hypernet.ContextHead, contexts [][]float32) error {
	reps := make([]*embedding.Representation, len(contexts))
	for i, c := range contexts {
		reps[i] = &embedding.Representation{Encoder: "recurrence",
			Tensors: map[string]embedding.Tensor{contextTensor: {Shape: []int{len(c)}, Data: c}}}
	}
	return head.Fit(reps)
}

// tensors are those of the recurrence.
func (c *Checkpoint) tensors() hypernet.TensorMap {
	ts := c.GRU.Tensors()
	c.Inputs.tensors(ts)
	return ts
}

// Save writes a checkpoint to path, whole or not at all, with parameters of type
// dtype, F16 or F32.
func Save(path string, c *Checkpoint, dtype safetensors.DType) error {
	settings, err := json.Marshal(c.Settings)
	if err != nil {
		return err
	}
	return hypernet.SaveRecurrent(path, &hypernet.Checkpoint{Info: c.Info, Head: c.Head},
		&hypernet.Recurrence{Description: settings, Tensors: c.tensors()}, dtype)
}

// Load reads a checkpoint that [Save] wrote. It refuses tensors that are missing,
// unknown, of another shape than their head or settings want, or not finite, and
// allocates no more than a small multiple of the file's size.
func Load(path string) (*Checkpoint, error) {
	static, r, err := hypernet.LoadRecurrent(path)
	if err != nil {
		return nil, err
	}
	c, err := join(static, r)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return c, nil
}

// join checks the two halves of a checkpoint.
func join(static *hypernet.Checkpoint, r *hypernet.Recurrence) (*Checkpoint, error) {
	c := &Checkpoint{Info: static.Info}
	if err := json.Unmarshal(r.Description, &c.Settings); err != nil {
		return nil, fmt.Errorf("recurrence: settings: %w", err)
	}
	if err := c.Settings.Validate(); err != nil {
		return nil, fmt.Errorf("recurrence: settings: %w", err)
	}
	gru, inputs := hypernet.TensorMap{}, hypernet.TensorMap{}
	for name, t := range r.Tensors {
		if len(name) > len(inputPrefix) && name[:len(inputPrefix)] == inputPrefix {
			inputs[name] = t
			continue
		}
		gru[name] = t
	}
	var err error
	if c.GRU, err = Read(gru); err != nil {
		return nil, err
	}
	o, D := c.GRU.Options(), static.Head.Dims().Modules[adapter.QProj].In
	if want := c.Settings.inputSize(2*D, o.Repository); o.Diff != want {
		return nil, fmt.Errorf("recurrence: a step reads %d values, want %d for input %q and a base of hidden size %d", o.Diff, want, c.Settings.Input, D)
	}
	c.Inputs = NewInputs(&c.Settings, o)
	if err := c.Inputs.take(inputs); err != nil {
		return nil, err
	}
	for name := range inputs {
		return nil, fmt.Errorf("recurrence: unknown tensor %q", name)
	}
	c.Head, err = contextHead(static.Head, o.Hidden)
	return c, err
}

// digest identifies all that decides what the checkpoint does, as lower-case hex.
func (c *Checkpoint) digest() (string, error) {
	h := sha256.New()
	settings, err := json.Marshal(c.Settings)
	if err != nil {
		return "", err
	}
	options, err := json.Marshal(c.Head.Options())
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%s\x00", c.Base.SHA256, c.Encoder, settings, c.Head.Kind(), options)
	ts := hypernet.WriteTensors(c.Head)
	for name, t := range c.tensors() {
		ts[hypernet.RecurrencePrefix+name] = t
	}
	var buf []byte
	for _, name := range ts.Names() {
		fmt.Fprintf(h, "%s %v\x00", name, ts[name].Shape)
		buf = buf[:0]
		for _, v := range ts[name].Data {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf) // never fails
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
