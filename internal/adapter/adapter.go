// Package adapter holds the project's central noun: a LoRA adapter for a
// frozen language model.
//
// An [Adapter] has one [Pair] of factors for every adapted linear layer:
// A (r, in) and B (out, r), row-major float32, in the order of the Hugging
// Face checkpoint (never in the permuted order of a llama GGUF file; readers
// and writers convert at the file boundary). Its effect on a layer is
//
//	y = W x + Scale · B (A x),    Scale = alpha / r
//
// (LoRA, arXiv 2106.09685; arXiv 2606.06492 §3.2). A hypernetwork may produce one pair per module type and use it in
// every layer; then the pairs of all layers share the same slices, see
// [Adapter.Shared].
//
// The packages before this one produce adapters (encoder, hypernet, train),
// the packages after it use them (model, engine); neither side imports the
// other, and this package imports none of them.
package adapter

import (
	"fmt"
	"math"
)

// Module is one of the seven linear projections of a decoder block.
type Module int

// The seven projections, in the order in which a block applies them.
const (
	QProj Module = iota
	KProj
	VProj
	OProj
	GateProj
	UpProj
	DownProj
	NumModules // number of module types
)

var moduleNames = [NumModules]string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// String returns the Hugging Face name, such as "q_proj".
func (m Module) String() string {
	if m < 0 || m >= NumModules {
		return fmt.Sprintf("Module(%d)", int(m))
	}
	return moduleNames[m]
}

// ParseModule is the inverse of [Module.String].
func ParseModule(name string) (Module, error) {
	for m, n := range moduleNames {
		if n == name {
			return Module(m), nil
		}
	}
	return 0, fmt.Errorf("unknown module %q: want one of %v", name, moduleNames)
}

// Shape is the shape of one linear layer: out×in.
type Shape struct{ In, Out int }

// Dims says which linear layers a base model has. It is what an adapter must
// fit.
type Dims struct {
	Arch              string // general.architecture of GGUF: "llama", "qwen2"
	NumHiddenLayers   int
	NumAttentionHeads int
	NumKeyValueHeads  int
	Modules           [NumModules]Shape
}

// Base identifies the frozen model that an adapter was made for.
type Base struct {
	Name   string `json:"name"`   // catalogue name, such as "smollm2-135m"
	HubID  string `json:"hub_id"` // such as "HuggingFaceTB/SmolLM2-135M-Instruct"; may be empty
	SHA256 string `json:"sha256"` // of the weight file, lower-case hex
}

// Pair holds the two factors of one linear layer. A nil *Pair means that the
// layer is not adapted.
type Pair struct {
	A []float32 // (r, in)
	B []float32 // (out, r)
}

// Adapter is a LoRA adapter in memory. It is not safe to modify while a model
// reads it.
type Adapter struct {
	Dims  Dims
	Rank  int
	Alpha float64
	// Layers has Dims.NumHiddenLayers entries, indexed by [Module].
	Layers     []([NumModules]*Pair)
	Provenance Provenance
}

// Provenance says where an adapter comes from. Every field is optional.
type Provenance struct {
	Base             Base   `json:"base"`
	Repository       string `json:"repository,omitempty"`    // owner/name or a path's last element
	Commit           string `json:"commit,omitempty"`        // full object id; empty for a tree without git
	Encoder          string `json:"encoder,omitempty"`       // encoder id, see package encoder
	EncoderInput     string `json:"encoder_input,omitempty"` // digest of the blobs read
	Checkpoint       string `json:"checkpoint,omitempty"`    // name of the hypernetwork checkpoint
	CheckpointSHA256 string `json:"checkpoint_sha256,omitempty"`
	Tool             string `json:"tool,omitempty"`   // program and version
	Files            int    `json:"files,omitempty"`  // files read
	Tokens           int    `json:"tokens,omitempty"` // tokens read
	// MeanDistance is ‖ΔW − ΔW̄‖ / ‖ΔW̄‖ over all modules, where ΔW̄ is the
	// update of the checkpoint's average adapter; nil when unknown.
	MeanDistance *float64 `json:"mean_distance,omitempty"`
}

// Scale returns alpha / r.
func (a *Adapter) Scale() float32 { return float32(a.Alpha / float64(a.Rank)) }

// New returns an all-zero adapter with its own factors for each layer, or,
// with shared, one pair per module type used by all layers.
func New(d Dims, modules []Module, rank int, alpha float64, shared bool) *Adapter {
	a := &Adapter{Dims: d, Rank: rank, Alpha: alpha, Layers: make([][NumModules]*Pair, d.NumHiddenLayers)}
	for l := range a.Layers {
		for _, m := range modules {
			if shared && l > 0 {
				a.Layers[l][m] = a.Layers[0][m]
				continue
			}
			s := d.Modules[m]
			a.Layers[l][m] = &Pair{A: make([]float32, rank*s.In), B: make([]float32, s.Out*rank)}
		}
	}
	return a
}

// ZerosLike returns an all-zero adapter with the same shape and the same
// sharing of pairs between layers as a. Gradients are accumulated in one:
// where a shares a pair, so does the gradient, and so it sums over layers.
func ZerosLike(a *Adapter) *Adapter {
	z := &Adapter{Dims: a.Dims, Rank: a.Rank, Alpha: a.Alpha, Layers: make([][NumModules]*Pair, len(a.Layers))}
	seen := map[*Pair]*Pair{}
	for l := range a.Layers {
		for m, p := range a.Layers[l] {
			if p == nil {
				continue
			}
			if seen[p] == nil {
				seen[p] = &Pair{A: make([]float32, len(p.A)), B: make([]float32, len(p.B))}
			}
			z.Layers[l][m] = seen[p]
		}
	}
	return z
}

// Shared reports whether all layers use the same pairs.
func (a *Adapter) Shared() bool {
	for l := range a.Layers {
		if a.Layers[l] != a.Layers[0] {
			return false
		}
	}
	return true
}

// LowestLayer returns the lowest layer that is adapted; the number of layers
// means none.
func (a *Adapter) LowestLayer() int {
	for l := range a.Layers {
		if a.Layers[l] != [NumModules]*Pair{} {
			return l
		}
	}
	return len(a.Layers)
}

// Entry is one distinct pair of an adapter, with the first layer that uses it.
type Entry struct {
	Layer  int
	Module Module
	*Pair
}

// Pairs returns every distinct pair once, in order of layer and module.
func (a *Adapter) Pairs() []Entry {
	var entries []Entry
	seen := map[*Pair]bool{}
	for l := range a.Layers {
		for m, p := range a.Layers[l] {
			if p != nil && !seen[p] {
				seen[p] = true
				entries = append(entries, Entry{l, Module(m), p})
			}
		}
	}
	return entries
}

// Modules returns the module types that at least one layer adapts.
func (a *Adapter) Modules() []Module {
	var ms []Module
	for m := range NumModules {
		for l := range a.Layers {
			if a.Layers[l][m] != nil {
				ms = append(ms, m)
				break
			}
		}
	}
	return ms
}

// NumParameters counts the distinct parameters (a shared pair counts once).
func (a *Adapter) NumParameters() int {
	n := 0
	for _, p := range a.Pairs() {
		n += len(p.A) + len(p.B)
	}
	return n
}

// Validate reports the first pair whose shape does not fit the dimensions, or
// whose values are not finite.
func (a *Adapter) Validate() error {
	if a.Rank <= 0 {
		return fmt.Errorf("rank %d: want at least 1", a.Rank)
	}
	if len(a.Layers) != a.Dims.NumHiddenLayers {
		return fmt.Errorf("adapter has %d layers, want %d", len(a.Layers), a.Dims.NumHiddenLayers)
	}
	for _, e := range a.Pairs() {
		s := a.Dims.Modules[e.Module]
		if len(e.A) != a.Rank*s.In || len(e.B) != s.Out*a.Rank {
			return fmt.Errorf("layer %d %s: factors of %d and %d values, want A %dx%d and B %dx%d",
				e.Layer, e.Module, len(e.A), len(e.B), a.Rank, s.In, s.Out, a.Rank)
		}
		for _, f := range [2][]float32{e.A, e.B} {
			for _, v := range f {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					return fmt.Errorf("layer %d %s: a value is not finite", e.Layer, e.Module)
				}
			}
		}
	}
	return nil
}
