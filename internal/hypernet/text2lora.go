package hypernet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/kernel"
)

// Text2LoRAKind is the kind of [Text2LoRA].
const Text2LoRAKind = "text2lora"

// Text2LoRAOptions configure a [Text2LoRA] head.
type Text2LoRAOptions struct {
	// Task, Depth and Type are the widths of the encodings of the description,
	// the layer and the module type; side by side they are the latent.
	Task  int `json:"task" yaml:"task"`
	Depth int `json:"depth" yaml:"depth"`
	Type  int `json:"type" yaml:"type"`

	Hidden     int      `json:"hidden" yaml:"hidden"`           // inner width of mixer, blocks and neck
	Blocks     int      `json:"blocks" yaml:"blocks"`           // residual blocks
	Neck       int      `json:"neck" yaml:"neck"`               // values that the output layers read
	Rank       int      `json:"rank" yaml:"rank"`               // r of the adapters
	Alpha      float64  `json:"alpha" yaml:"alpha"`             // alpha of the adapters
	Modules    []string `json:"modules" yaml:"modules"`         // target modules; none: all seven
	FirstLayer int      `json:"first_layer" yaml:"first_layer"` // lowest layer that is adapted
	Bias       bool     `json:"bias" yaml:"bias"`               // of the output layers

	Input InputOptions `json:"input" yaml:"input"`
}

// DefaultText2LoRAOptions are those of the strengthened baseline of
// arXiv 2606.06492. A head of a model of 135M parameters fits into 15 MB in
// float16 with neck 64 and rank 8.
func DefaultText2LoRAOptions() Text2LoRAOptions {
	return Text2LoRAOptions{Task: 64, Depth: 32, Type: 32, Hidden: 512, Blocks: 2, Neck: 512, Rank: 16, Alpha: 32,
		Input: InputOptions{Tensor: embedding.Description, Standardize: StandardizeNone}}
}

// Validate reports every option that cannot work.
func (o *Text2LoRAOptions) Validate() error {
	var errs []error
	within := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%s %d: want %d to %d", name, v, lo, hi))
		}
	}
	within("task", o.Task, 1, maxWidth)
	within("depth", o.Depth, 1, maxWidth)
	within("type", o.Type, 1, maxWidth)
	within("hidden", o.Hidden, 1, maxWidth)
	within("blocks", o.Blocks, 0, 64)
	within("neck", o.Neck, 1, maxWidth)
	within("first_layer", o.FirstLayer, 0, maxLayers)
	return errors.Join(append(errs, validateLoRA(o.Rank, o.Alpha), o.Input.Validate())...)
}

// Text2LoRA generates adapters from a text about a repository: the
// hyper-modulator of arXiv 2506.06105 as arXiv 2606.06492 strengthened it. For
// a description c, a layer l and a module type m:
//
//	e   = [LN(W c + b) ; LN(depth_l) ; LN(type_m)]          the latent
//	x   = SiLU(W SiLU(W e + b) + b)                          mixer
//	x   = x + SiLU(W SiLU(W LN(x) + b) + b)                  each block
//	h   = SiLU(W SiLU(W LN(x) + b) + b)                      neck
//	[A' ; B'] = reshape(W_m h)                               r·in, then out·r values
//
// All layers share the parameters of their module type, and differ by depth_l.
//
// Differences from the original. The rows of W_m that give B start at zero, so
// that the adapter does nothing at first, as LoRA's. There is neither dropout
// nor label smoothing nor noise on embeddings. Texts are truncated on the left,
// and the token that leaves a target is learned, as for every head here; the
// original cut targets off and did not learn to stop.
type Text2LoRA struct {
	paramSet
	opts    Text2LoRAOptions
	dims    adapter.Dims
	input   Standardizer
	modules []adapter.Module

	task       chain  // description to its encoding
	depth, typ *Param // tables of embeddings: (layers,Depth), (modules,Type)
	depthNorm  layerNorm
	typeNorm   layerNorm
	trunk      chain    // mixer, blocks, neck
	outputs    []affine // by module type
}

func newText2LoRA(raw json.RawMessage, s Setup) (Head, error) {
	opts := DefaultText2LoRAOptions()
	if err := decodeOptions(raw, &opts); err != nil {
		return nil, err
	}
	return NewText2LoRA(opts, s)
}

// NewText2LoRA lays out a head.
func NewText2LoRA(opts Text2LoRAOptions, s Setup) (*Text2LoRA, error) {
	modules, err := s.resolve(&opts.Input, &opts.Modules)
	if err != nil {
		return nil, err
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if n := s.Dims.NumHiddenLayers; opts.FirstLayer >= n {
		return nil, fmt.Errorf("first_layer %d: the base has %d layers, want 0 to %d", opts.FirstLayer, n, n-1)
	}
	h := &Text2LoRA{opts: opts, dims: s.Dims, input: Standardizer{Options: opts.Input}, modules: modules}
	h.layOut()
	return h, nil
}

func (h *Text2LoRA) layOut() {
	o := h.opts
	h.task = chain{h.linear("task_encoder.0", o.Input.Width(), o.Task), h.norm("task_encoder.1", o.Task)}
	h.depth, h.depthNorm = h.add("layer_depth_encoder.0.weight", false, h.layers(), o.Depth), h.norm("layer_depth_encoder.1", o.Depth)
	h.typ, h.typeNorm = h.add("layer_type_encoder.0.weight", false, len(h.modules), o.Type), h.norm("layer_type_encoder.1", o.Type)
	latent := o.Task + o.Depth + o.Type
	h.trunk = chain{h.linear("mixer.0", latent, o.Hidden), silu{}, h.linear("mixer.2", o.Hidden, latent), silu{}}
	for i := range o.Blocks {
		h.trunk = append(h.trunk, residual{h.block("blocks."+strconv.Itoa(i), latent, latent)})
	}
	h.trunk = append(h.trunk, h.block("neck", latent, o.Neck))
	for _, m := range h.modules {
		name, size := "heads."+m.String(), o.Rank*(h.dims.Modules[m].In+h.dims.Modules[m].Out)
		out := affine{w: h.add(name+".weight", true, size, o.Neck)}
		if o.Bias {
			out.b = h.add(name+".bias", false, size)
		}
		h.outputs = append(h.outputs, out)
	}
}

func (h *Text2LoRA) linear(name string, in, out int) affine {
	return affine{h.add(name+".weight", true, out, in), h.add(name+".bias", false, out)}
}

func (h *Text2LoRA) norm(name string, n int) layerNorm {
	return layerNorm{h.add(name+".weight", false, n), h.add(name+".bias", false, n)}
}

func (h *Text2LoRA) block(name string, in, out int) chain {
	return chain{h.norm(name+".0", in), h.linear(name+".1", in, h.opts.Hidden), silu{}, h.linear(name+".3", h.opts.Hidden, out), silu{}}
}

// layers is the number of layers that are adapted.
func (h *Text2LoRA) layers() int { return h.dims.NumHiddenLayers - h.opts.FirstLayer }

// Kind returns [Text2LoRAKind].
func (h *Text2LoRA) Kind() string { return Text2LoRAKind }

// Options returns the resolved [Text2LoRAOptions].
func (h *Text2LoRA) Options() any { return h.opts }

// Dims returns the layers that generated adapters fit.
func (h *Text2LoRA) Dims() adapter.Dims { return h.dims }

// ContextSize returns the length of the context.
func (h *Text2LoRA) ContextSize() int { return h.opts.Input.Width() }

// Fit measures the descriptions of the training repositories.
func (h *Text2LoRA) Fit(training []*embedding.Representation) error {
	vs, err := h.input.vectors(training)
	if err != nil {
		return err
	}
	return h.input.Fit(vs)
}

// Buffers returns the tensors of the standardiser.
func (h *Text2LoRA) Buffers() map[string]embedding.Tensor { return h.input.buffers() }

// SetBuffers is the inverse of Buffers.
func (h *Text2LoRA) SetBuffers(b map[string]embedding.Tensor) error {
	if err := h.input.setBuffers(b); err != nil {
		return err
	}
	return unknownBuffers(b)
}

// Init sets PyTorch's defaults: uniform linear layers, normal embeddings, gains
// of 1; and zero for what gives B.
func (h *Text2LoRA) Init(seed uint64) {
	h.alloc()
	for _, table := range []*Param{h.depth, h.typ} {
		rng := paramRand(seed, table.Name)
		for i := range table.Value {
			table.Value[i] = float32(rng.NormFloat64())
		}
	}
	h.initChain(seed, h.task)
	h.initChain(seed, h.trunk)
	initNorm(h.depthNorm)
	initNorm(h.typeNorm)
	for i, m := range h.modules {
		initAffine(seed, h.outputs[i])
		ofA := h.opts.Rank * h.dims.Modules[m].In
		clear(h.outputs[i].w.Value[ofA*h.opts.Neck:])
		if b := h.outputs[i].b; b != nil {
			clear(b.Value[ofA:])
		}
	}
}

func (h *Text2LoRA) initChain(seed uint64, c chain) {
	for _, l := range c {
		switch l := l.(type) {
		case affine:
			initAffine(seed, l)
		case layerNorm:
			initNorm(l)
		case residual:
			h.initChain(seed, l.f.(chain))
		case chain:
			h.initChain(seed, l)
		}
	}
}

func initAffine(seed uint64, l affine) {
	in := l.w.Shape[1]
	InitUniform(l.w, seed, in)
	if l.b != nil {
		InitUniform(l.b, seed, in)
	}
}

func initNorm(l layerNorm) {
	for i := range l.gain.Value {
		l.gain.Value[i] = 1
	}
}

// Average returns the adapter at the mean description of the training
// repositories. The head is not linear, so this is not the mean of their
// adapters.
func (h *Text2LoRA) Average() (*adapter.Adapter, error) {
	a, _, err := h.GenerateContext(h.input.meanContext())
	return a, err
}

// Context reads and standardises the description of a representation.
func (h *Text2LoRA) Context(rep *embedding.Representation) ([]float32, error) {
	return h.input.context(rep)
}

// Generate returns the adapter for rep.
func (h *Text2LoRA) Generate(rep *embedding.Representation) (*adapter.Adapter, Tape, error) {
	ctx, err := h.Context(rep)
	if err != nil {
		return nil, nil, err
	}
	return tapeOf(h.GenerateContext(ctx))
}

// text2loraTape keeps one forward pass.
type text2loraTape struct {
	head                    *Text2LoRA
	task, depth, typ, trunk rowBackward
	outputs                 []rowBackward // by module type
	dctx                    []float32
}

// GenerateContext returns the adapter for a context.
func (h *Text2LoRA) GenerateContext(ctx []float32) (*adapter.Adapter, ContextTape, error) {
	if len(ctx) != h.ContextSize() {
		return nil, nil, fmt.Errorf("context has %d values, want %d", len(ctx), h.ContextSize())
	}
	if err := h.ready(); err != nil {
		return nil, nil, err
	}
	t := &text2loraTape{head: h, dctx: make([]float32, len(ctx)), outputs: make([]rowBackward, len(h.modules))}
	L := h.layers()
	task, back := h.task.forward(slices.Clone(ctx), 1)
	t.task = back
	depth, back := h.depthNorm.forward(h.depth.Value, L)
	t.depth = back
	typ, back := h.typeNorm.forward(h.typ.Value, len(h.modules))
	t.typ = back
	// Row m·L + l is layer l of module type m, so that those of a type are one matrix.
	var e []float32
	for m := range h.modules {
		for l := range L {
			e = append(append(append(e, task...), depth[l*h.opts.Depth:][:h.opts.Depth]...), typ[m*h.opts.Type:][:h.opts.Type]...)
		}
	}
	x, back := h.trunk.forward(e, L*len(h.modules))
	t.trunk = back
	a := adapter.New(h.dims, h.modules, h.opts.Rank, h.opts.Alpha, false)
	clear(a.Layers[:h.opts.FirstLayer])
	n := h.opts.Neck
	for i, m := range h.modules {
		y, back := h.outputs[i].forward(x[i*L*n:][:L*n], L)
		t.outputs[i] = back
		for l := range L {
			p, row := a.Layers[h.opts.FirstLayer+l][m], y[l*len(y)/L:][:len(y)/L]
			copy(p.A, row)
			copy(p.B, row[len(p.A):])
		}
	}
	return a, t, nil
}

// Backward adds the gradients of the parameters and of the context.
func (t *text2loraTape) Backward(grad *adapter.Adapter) {
	h, o, L := t.head, t.head.opts, t.head.layers()
	for _, m := range h.modules {
		for l := range L {
			checkGrad(grad, h.dims, o.FirstLayer+l, m, o.Rank)
		}
	}
	h.allocGrads()
	var dx []float32
	for i, m := range h.modules {
		var dy []float32
		for l := range L {
			p := grad.Layers[o.FirstLayer+l][m]
			dy = append(append(dy, p.A...), p.B...)
		}
		dx = append(dx, t.outputs[i](dy)...)
	}
	de := t.trunk(dx)
	dtask, ddepth, dtyp := make([]float32, o.Task), make([]float32, L*o.Depth), make([]float32, len(h.modules)*o.Type)
	latent := o.Task + o.Depth + o.Type
	for m := range h.modules {
		for l := range L {
			row := de[(m*L+l)*latent:][:latent]
			kernel.Add(dtask, row[:o.Task])
			kernel.Add(ddepth[l*o.Depth:][:o.Depth], row[o.Task:][:o.Depth])
			kernel.Add(dtyp[m*o.Type:][:o.Type], row[o.Task+o.Depth:])
		}
	}
	kernel.Add(h.depth.Grad, t.depth(ddepth))
	kernel.Add(h.typ.Grad, t.typ(dtyp))
	kernel.Add(t.dctx, t.task(dtask))
}

// ContextGrad returns d(loss)/d(context).
func (t *text2loraTape) ContextGrad() []float32 { return t.dctx }

var _ ContextHead = (*Text2LoRA)(nil)
