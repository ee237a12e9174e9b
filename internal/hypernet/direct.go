package hypernet

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/nn"
)

// DirectKind is the kind of [Direct].
const DirectKind = "direct"

// DirectOptions configure a [Direct] head.
type DirectOptions struct {
	Hidden   int          `json:"hidden" yaml:"hidden"`       // H, width of the trunk
	Rank     int          `json:"rank" yaml:"rank"`           // r of the adapters
	Alpha    float64      `json:"alpha" yaml:"alpha"`         // alpha of the adapters
	Modules  []string     `json:"modules" yaml:"modules"`     // target modules; none: all seven
	PerLayer bool         `json:"per_layer" yaml:"per_layer"` // one pair of output layers per layer, not per module type
	Input    InputOptions `json:"input" yaml:"input"`
}

// DefaultDirectOptions are those of the released head.
func DefaultDirectOptions() DirectOptions {
	return DirectOptions{Hidden: 1024, Rank: 16, Alpha: 32,
		Input: InputOptions{Tensor: embedding.Repository, Standardize: StandardizeNone}}
}

// Validate reports every option that cannot work.
func (o *DirectOptions) Validate() error {
	var errs []error
	if o.Hidden < 1 || o.Hidden > maxWidth {
		errs = append(errs, fmt.Errorf("hidden %d: want 1 to %d", o.Hidden, maxWidth))
	}
	return errors.Join(append(errs, validateLoRA(o.Rank, o.Alpha), o.Input.Validate())...)
}

// Direct is the direct projection head of arXiv 2606.06492 §3.2, with the
// tensor names, shapes and order of the released checkpoints. For a context c,
// a module type t and H = Hidden:
//
//	h1  = GELU(W0 c + b0)
//	h2  = GELU(W2 h1 + b2)
//	h   = h2 / max(‖h2‖, 1e-12) · √H
//	A_t = tanh(reshape(WA_t h + bA_t, [r, in_t]))  · clamp(exp(sA_t), 1e-5, 0.3)
//	B_t = tanh(reshape(WB_t h + bB_t, [out_t, r])) · clamp(exp(sB_t), 1e-5, 0.3)
//
// All layers share one pair per module type, or, with PerLayer, each layer l
// has output layers named heads_A.<l>.<type> and heads_B.<l>.<type>. B is not
// zero at the start, so the adapter is not either.
//
// The head has (c+1)·H + (H+1)·H + P·(H+1) + 2 scalars per pair, where P is the
// number of values it generates: 679,090,190 for Qwen2.5-Coder-1.5B with the
// default options and c = 2048; 5,375,054 for SmolLM2-135M with H = 32,
// c = 32.
//
// Weight decay applies to matrices only; the authors' trainer also decays
// biases and scales, by a ten-millionth per step.
type Direct struct {
	paramSet
	opts           DirectOptions
	dims           adapter.Dims
	input          Standardizer
	w0, b0, w2, b2 *Param
	outputs        []*directOutput // A of each pair, then B of each pair
	pairs          []directPair
}

// directOutput generates one factor.
type directOutput struct {
	weight, bias, logScale *Param // (size,H), (size), ()
}

// directPair is one pair of factors: of a module in one layer, or in all.
type directPair struct {
	layer  int // 0 if shared
	module adapter.Module
	a, b   *directOutput
}

func newDirect(raw json.RawMessage, s Setup) (Head, error) {
	opts := DefaultDirectOptions()
	if err := decodeOptions(raw, &opts); err != nil {
		return nil, err
	}
	return NewDirect(opts, s)
}

// NewDirect lays out a direct head.
func NewDirect(opts DirectOptions, s Setup) (*Direct, error) {
	modules, err := s.resolve(&opts.Input, &opts.Modules)
	if err != nil {
		return nil, err
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	d := &Direct{opts: opts, dims: s.Dims, input: Standardizer{Options: opts.Input}}
	c, h := opts.Input.Width(), opts.Hidden
	d.w0, d.b0 = d.add("trunk.0.weight", true, h, c), d.add("trunk.0.bias", false, h)
	d.w2, d.b2 = d.add("trunk.2.weight", true, h, h), d.add("trunk.2.bias", false, h)
	layers := 1
	if opts.PerLayer {
		layers = s.Dims.NumHiddenLayers
	}
	for l := range layers {
		for _, m := range modules {
			d.pairs = append(d.pairs, directPair{layer: l, module: m, a: &directOutput{}, b: &directOutput{}})
		}
	}
	d.layOut()
	return d, nil
}

// layOut adds the output layers in the order of the released state dicts.
func (d *Direct) layOut() {
	suffix := func(p directPair) string {
		if d.opts.PerLayer {
			return strconv.Itoa(p.layer) + "." + p.module.String()
		}
		return p.module.String()
	}
	weights := func(o *directOutput, name string, size int) {
		o.weight = d.add(name+".weight", true, size, d.opts.Hidden)
		o.bias = d.add(name+".bias", false, size)
		d.outputs = append(d.outputs, o)
	}
	for _, p := range d.pairs {
		weights(p.a, "heads_A."+suffix(p), d.opts.Rank*d.dims.Modules[p.module].In)
	}
	for _, p := range d.pairs {
		weights(p.b, "heads_B."+suffix(p), d.dims.Modules[p.module].Out*d.opts.Rank)
	}
	for _, p := range d.pairs {
		p.a.logScale = d.add("log_scale_A."+suffix(p), false)
	}
	for _, p := range d.pairs {
		p.b.logScale = d.add("log_scale_B."+suffix(p), false)
	}
}

// Kind returns [DirectKind].
func (d *Direct) Kind() string { return DirectKind }

// Options returns the resolved [DirectOptions].
func (d *Direct) Options() any { return d.opts }

// Dims returns the layers that generated adapters fit.
func (d *Direct) Dims() adapter.Dims { return d.dims }

// ContextSize returns the length of the context.
func (d *Direct) ContextSize() int { return d.opts.Input.Width() }

// Fit measures the training repositories; without standardisation it only
// records their mean, for Average.
func (d *Direct) Fit(training []*embedding.Representation) error {
	vs, err := d.input.vectors(training)
	if err != nil {
		return err
	}
	return d.input.Fit(vs)
}

// Buffers returns the tensors of the standardiser.
func (d *Direct) Buffers() map[string]embedding.Tensor { return d.input.buffers() }

// SetBuffers is the inverse of Buffers.
func (d *Direct) SetBuffers(b map[string]embedding.Tensor) error {
	if err := d.input.setBuffers(b); err != nil {
		return err
	}
	return unknownBuffers(b)
}

// initialLogScale is the authors' start of the log-scales; exp gives 0.0302.
const initialLogScale = -3.5

// Init sets the initial values of the authors' code: PyTorch's defaults for
// every linear layer, −3.5 for the log-scales.
func (d *Direct) Init(seed uint64) {
	d.alloc()
	c, h := d.ContextSize(), d.opts.Hidden
	InitUniform(d.w0, seed, c)
	InitUniform(d.b0, seed, c)
	InitUniform(d.w2, seed, h)
	InitUniform(d.b2, seed, h)
	for _, o := range d.outputs {
		InitUniform(o.weight, seed, h)
		InitUniform(o.bias, seed, h)
		o.logScale.Value[0] = initialLogScale
	}
}

// Average returns the adapter at the mean training vector, which is the zero
// context if the input is standardised. The head is not linear, so this is not
// the mean of the adapters of the training repositories. For a head that was
// never fitted, such as an imported one, it is the adapter of a zero vector.
func (d *Direct) Average() (*adapter.Adapter, error) {
	a, _, err := d.GenerateContext(d.input.meanContext())
	return a, err
}

// Context reads and standardises the vector of a representation.
func (d *Direct) Context(rep *embedding.Representation) ([]float32, error) {
	return d.input.context(rep)
}

// Generate returns the adapter for rep.
func (d *Direct) Generate(rep *embedding.Representation) (*adapter.Adapter, Tape, error) {
	ctx, err := d.Context(rep)
	if err != nil {
		return nil, nil, err
	}
	return tapeOf(d.GenerateContext(ctx))
}

// tapeOf keeps a nil ContextTape from becoming a Tape that is not nil.
func tapeOf(a *adapter.Adapter, t ContextTape, err error) (*adapter.Adapter, Tape, error) {
	if err != nil {
		return nil, nil, err
	}
	return a, t, nil
}

// directTape keeps the activations of one forward pass.
type directTape struct {
	head *Direct
	ctx  []float32 // (c)
	x1   []float32 // (H) before the first GELU
	h1   []float32 // (H)
	x2   []float32 // (H) before the second GELU
	h2   []float32 // (H)
	norm float64   // max(‖h2‖, 1e-12)
	h    []float32 // (H)
	tanh [][]float32
	dctx []float32
}

// minNorm bounds the norm that h2 is divided by, as torch's normalize does.
const minNorm = 1e-12

// GenerateContext returns the adapter for a context.
func (d *Direct) GenerateContext(ctx []float32) (*adapter.Adapter, ContextTape, error) {
	if len(ctx) != d.ContextSize() {
		return nil, nil, fmt.Errorf("context has %d values, want %d", len(ctx), d.ContextSize())
	}
	if err := d.ready(); err != nil {
		return nil, nil, err
	}
	t := d.trunkForward(ctx)
	a := adapter.New(d.dims, d.modules(), d.opts.Rank, d.opts.Alpha, !d.opts.PerLayer)
	for _, p := range d.pairs {
		dst := a.Layers[p.layer][p.module]
		t.tanh = append(t.tanh, p.a.forward(dst.A, t.h), p.b.forward(dst.B, t.h))
	}
	return a, t, nil
}

func (d *Direct) modules() []adapter.Module {
	ms := make([]adapter.Module, len(d.opts.Modules))
	for i := range ms {
		ms[i] = d.pairs[i].module
	}
	return ms
}

// trunkForward computes h from the context.
func (d *Direct) trunkForward(ctx []float32) *directTape {
	H := d.opts.Hidden
	buf := make([]float32, 5*H)
	t := &directTape{head: d, ctx: slices.Clone(ctx), dctx: make([]float32, len(ctx)),
		x1: buf[:H], h1: buf[H : 2*H], x2: buf[2*H : 3*H], h2: buf[3*H : 4*H], h: buf[4*H:]}
	matVec(t.x1, t.ctx, d.w0.Value, d.b0.Value)
	nn.GELUForward(t.h1, t.x1)
	matVec(t.x2, t.h1, d.w2.Value, d.b2.Value)
	nn.GELUForward(t.h2, t.x2)
	var sumsq float64
	for _, v := range t.h2 {
		sumsq += float64(v) * float64(v)
	}
	t.norm = max(math.Sqrt(sumsq), minNorm)
	for i, v := range t.h2 {
		t.h[i] = float32(float64(v) / t.norm * math.Sqrt(float64(H)))
	}
	return t
}

// scale returns clamp(exp(s), 1e-5, 0.3) and its derivative by s, which is
// zero outside of the bounds.
func (o *directOutput) scale() (value, derivative float32) {
	e := math.Exp(float64(o.logScale.Value[0]))
	if e < 1e-5 || e > 0.3 {
		return float32(min(max(e, 1e-5), 0.3)), 0
	}
	return float32(e), float32(e)
}

// forward sets dst = tanh(W h + b)·scale and returns the tanh.
func (o *directOutput) forward(dst, h []float32) []float32 {
	th := make([]float32, len(dst))
	matVec(th, h, o.weight.Value, o.bias.Value)
	s, _ := o.scale()
	for i, v := range th {
		th[i] = float32(math.Tanh(float64(v)))
		dst[i] = th[i] * s
	}
	return th
}

// backward adds the gradients of forward to the parameters and to dh, given
// dy = d(loss)/d(dst). With th = tanh(u):
//
//	ds += Σ dy·th · d(scale)/ds    du = dy·scale·(1 − th²)
func (o *directOutput) backward(dh, dy, h, th []float32) {
	s, ds := o.scale()
	du := make([]float32, len(dy))
	var sum float64
	for i, t := range th {
		sum += float64(dy[i]) * float64(t)
		du[i] = dy[i] * s * (1 - t*t)
	}
	o.logScale.Grad[0] += float32(sum) * ds
	matVecBackward(dh, o.weight.Grad, o.bias.Grad, du, h, o.weight.Value)
}

// Backward adds the gradients of the parameters and of the context.
func (t *directTape) Backward(grad *adapter.Adapter) {
	d := t.head
	for _, p := range d.pairs {
		checkGrad(grad, d.dims, p.layer, p.module, d.opts.Rank)
	}
	d.allocGrads()
	dh := make([]float32, d.opts.Hidden)
	for i, p := range d.pairs {
		g := grad.Layers[p.layer][p.module]
		p.a.backward(dh, g.A, t.h, t.tanh[2*i])
		p.b.backward(dh, g.B, t.h, t.tanh[2*i+1])
	}
	t.trunkBackward(dh)
}

// trunkBackward carries the gradient of h back to the context. With n = h2/‖h2‖
// the normalisation h = √H·n gives
//
//	dh2 = √H/‖h2‖ · (dh − n·(n·dh))
//
// where the second term is missing when the norm was clamped.
func (t *directTape) trunkBackward(dh []float32) {
	d, H := t.head, float64(t.head.opts.Hidden)
	var ndh float64
	if t.norm > minNorm {
		for i, v := range t.h2 {
			ndh += float64(v) / t.norm * float64(dh[i])
		}
	}
	dx2 := dh
	for i, v := range t.h2 {
		dx2[i] = float32(math.Sqrt(H) / t.norm * (float64(dh[i]) - float64(v)/t.norm*ndh))
	}
	nn.GELUBackward(dx2, t.x2)
	dx1 := make([]float32, len(t.x1))
	matVecBackward(dx1, d.w2.Grad, d.b2.Grad, dx2, t.h1, d.w2.Value)
	nn.GELUBackward(dx1, t.x1)
	matVecBackward(t.dctx, d.w0.Grad, d.b0.Grad, dx1, t.ctx, d.w0.Value)
}

// ContextGrad returns d(loss)/d(context).
func (t *directTape) ContextGrad() []float32 { return t.dctx }
