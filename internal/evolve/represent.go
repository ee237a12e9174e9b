package evolve

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// Represented is a [Follower] of which the representation that an adapter is
// generated from can be had apart from the adapter: to give it to another
// repository, to change it, or to average it.
type Represented interface {
	Follower
	// Representation returns what the checkpoint reads of a state. Its Input names
	// the content: equal ones are of equal representations.
	Representation(s State) (*embedding.Representation, error)
	// Generate makes the adapter of a representation.
	Generate(rep *embedding.Representation) (*adapter.Adapter, error)
	// AverageAdapter makes the adapter at the mean of the training repositories.
	AverageAdapter() (*adapter.Adapter, error)
	// ReadsTests tells whether files that are tests by their paths are read, unless
	// a filter leaves them out.
	ReadsTests() bool
	// Filtered returns a follower that also leaves out what a filter does. Its
	// states are its own.
	Filtered(filter gitrepo.Filter) (Represented, error)
}

var (
	_ Represented = (*Recurrent)(nil)
	_ Represented = (*Additive)(nil)
)

// Representation implements [Represented]: it has the context of the state.
func (f *Recurrent) Representation(state State) (*embedding.Representation, error) {
	s, ok := state.(*recurrentState)
	if !ok {
		return nil, ErrState
	}
	v, err := f.ckpt.GRU.Context(s.hidden)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, x := range v {
		h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
	}
	return &embedding.Representation{Encoder: f.ckpt.Encoder, Input: "state " + hex.EncodeToString(h.Sum(nil)), Files: s.files, Tokens: s.tokens,
		Tensors: map[string]embedding.Tensor{contextTensor: {Shape: []int{len(v)}, Data: v}}}, nil
}

// Generate implements [Represented].
func (f *Recurrent) Generate(rep *embedding.Representation) (*adapter.Adapter, error) {
	v, err := rep.Vector(contextTensor, f.ckpt.Head.ContextSize())
	if err != nil {
		return nil, err
	}
	a, _, err := f.ckpt.Head.GenerateContext(v)
	if err != nil {
		return nil, err
	}
	a.Provenance = adapter.Provenance{Base: f.ckpt.Base, Encoder: f.ckpt.Encoder, EncoderInput: rep.Input, Checkpoint: f.ckpt.Name,
		Files: rep.Files, Tokens: rep.Tokens}
	return a, nil
}

// AverageAdapter implements [Represented].
func (f *Recurrent) AverageAdapter() (*adapter.Adapter, error) {
	return (&hypernet.Checkpoint{Info: f.ckpt.Info, Head: f.ckpt.Head}).AverageAdapter()
}

// ReadsTests implements [Represented].
func (f *Recurrent) ReadsTests() bool { return f.opt.Tests }

// Filtered implements [Represented]. Of diffs it leaves out the files that the
// filter excludes; they never have tests.
func (f *Recurrent) Filtered(filter gitrepo.Filter) (Represented, error) {
	digest, err := filterDigest(filter)
	if err != nil {
		return nil, err
	}
	out := *f
	out.filter, out.id = filter, f.id+" filter="+digest
	if len(filter.Exclude) > 0 {
		excluded, err := gitrepo.Filter{Languages: diffLanguages, Exclude: filter.Exclude, KeepVendored: true, KeepGenerated: true}.Compile()
		if err != nil {
			return nil, err
		}
		diff := *f.diff
		diff.without, diff.withoutID = func(path string) bool { return excluded(path, 1) == gitrepo.ReasonExcluded }, digest
		out.diff = &diff
	}
	return &out, nil
}

// filterDigest names a filter.
func filterDigest(filter gitrepo.Filter) (string, error) {
	if _, err := filter.Compile(); err != nil {
		return "", err
	}
	wanted, err := json.Marshal(filter)
	if err != nil {
		return "", fmt.Errorf("filter: %w", err)
	}
	sum := sha256.Sum256(wanted)
	return hex.EncodeToString(sum[:8]), nil
}

// Generate implements [Represented].
func (f *Additive) Generate(rep *embedding.Representation) (*adapter.Adapter, error) {
	return f.checkpoint.Generate(rep)
}

// AverageAdapter implements [Represented].
func (f *Additive) AverageAdapter() (*adapter.Adapter, error) { return f.checkpoint.AverageAdapter() }

// ReadsTests implements [Represented].
func (f *Additive) ReadsTests() bool { return !f.filter.SkipTests }

// Filtered implements [Represented]. The filter takes the place of the one that f
// was made with.
func (f *Additive) Filtered(filter gitrepo.Filter) (Represented, error) {
	out, err := NewAdditive(f.checkpoint, f.enc, filter)
	if err != nil {
		return nil, err
	}
	out.vectors = f.vectors
	return out, nil
}
