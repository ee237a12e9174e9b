// Package evolve follows the commits of a repository with a state.
//
// [GRU] is the CommitGRU of arXiv 2606.06492 §3.3 (Evo), with the tensor names
// and shapes of the released checkpoint. A state starts from the vector of the
// first commit, and is stepped by the vector of each commit's diff; what
// [GRU.Context] makes of it is the context of a [hypernet.ContextHead].
//
//	h_0   = LN_r(GELU(W_r·e + b_r))            e: vector of the repository at its first commit
//	x_t   = LN_d(W_d·d_t + b_d)                d_t: vector of the diff of commit t
//	r_t   = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
//	z_t   = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
//	n_t   = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))
//	h_t   = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t-1}
//	ctx_t = LN_o(h_t)
//
// The first commit both makes h_0 and is stepped with its own diff, from the
// empty tree. h_t recurs, not ctx_t. The gates are stacked as in PyTorch: rows
// r, z, n; and the reset gate multiplies the bias b_hn too.
//
// [GRU.Start] and [GRU.Step] follow a history; [Walk] does so in training, and
// carries gradients back through it. [DiffTokens] says what of a diff is
// embedded, and [DiffPool] makes its vector; a [DiffEncoder] asks the base model
// for what is between.
//
// A [Follower] carries states over the commits of a repository: [Recurrent] with
// a [Checkpoint], which is a recurrence and its head, and [Additive] with that of
// a head for snapshots.
package evolve

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// Options are the sizes of a [GRU], by the names in the released checkpoint's
// gru_config.
type Options struct {
	Diff       int `json:"diff_input_dim" yaml:"diff_input_dim"` // of the input of a step
	Repository int `json:"repo_state_dim" yaml:"repo_state_dim"` // of the vector that makes the first state
	Hidden     int `json:"hidden_dim" yaml:"hidden_dim"`         // of state and context
}

// DefaultOptions are those of the released checkpoint: 33,583,104 parameters.
func DefaultOptions() Options { return Options{Diff: 2048, Repository: 2048, Hidden: 2048} }

// maxSize bounds each size, far above any real model.
const maxSize = 1 << 16

// Validate reports every size that cannot work.
func (o Options) Validate() error {
	var errs []error
	for _, s := range []struct {
		name string
		n    int
	}{{"diff_input_dim", o.Diff}, {"repo_state_dim", o.Repository}, {"hidden_dim", o.Hidden}} {
		if s.n < 1 || s.n > maxSize {
			errs = append(errs, fmt.Errorf("%s %d: want 1 to %d", s.name, s.n, maxSize))
		}
	}
	return errors.Join(errs...)
}

// normEps is PyTorch's default for LayerNorm.
const normEps = 1e-5

// affine is a linear layer, or the scale and shift of a LayerNorm.
type affine struct{ w, b *hypernet.Param }

// GRU is the recurrence. [New] lays it out without allocating it; [GRU.Init] or
// [Read] gives it values. Start, Step and Context may then be called
// concurrently.
type GRU struct {
	opts     Options
	params   []*hypernet.Param
	diff     affine // (H,Diff), (H)
	diffNorm affine // (H), (H)
	repo     affine // (H,Repository), (H)
	repoNorm affine // (H), (H)
	input    affine // (3H,H), (3H): rows r, z, n
	hidden   affine // (3H,H), (3H)
	outNorm  affine // (H), (H)
}

// New lays out a recurrence.
func New(o Options) (*GRU, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("recurrence: %w", err)
	}
	g, h := &GRU{opts: o}, o.Hidden
	g.diff = g.linear("diff_proj.0.weight", "diff_proj.0.bias", h, o.Diff)
	g.diffNorm = g.norm("diff_proj.1")
	g.repo = g.linear("repo_init_proj.0.weight", "repo_init_proj.0.bias", h, o.Repository)
	g.repoNorm = g.norm("repo_init_proj.2")
	wi, wh := g.add("gru.weight_ih_l0", true, 3*h, h), g.add("gru.weight_hh_l0", true, 3*h, h)
	g.input = affine{wi, g.add("gru.bias_ih_l0", false, 3*h)}
	g.hidden = affine{wh, g.add("gru.bias_hh_l0", false, 3*h)}
	g.outNorm = g.norm("output_norm")
	return g, nil
}

func (g *GRU) add(name string, decay bool, shape ...int) *hypernet.Param {
	p := &hypernet.Param{Name: name, Shape: shape, Decay: decay}
	g.params = append(g.params, p)
	return p
}

func (g *GRU) linear(weight, bias string, out, in int) affine {
	w := g.add(weight, true, out, in)
	return affine{w, g.add(bias, false, out)}
}

func (g *GRU) norm(name string) affine {
	w := g.add(name+".weight", false, g.opts.Hidden)
	return affine{w, g.add(name+".bias", false, g.opts.Hidden)}
}

// Options returns the sizes.
func (g *GRU) Options() Options { return g.opts }

// Params lists the trainable tensors in the order of the released state dict.
// Their gradients are nil before the first [Walk.Backward].
func (g *GRU) Params() []*hypernet.Param { return g.params }

// Init sets the initial values of the authors' code, PyTorch's defaults, which
// depend on the seed and on the parameter's name only, and clears the gradients.
func (g *GRU) Init(seed uint64) {
	for _, p := range g.params {
		n := 1
		for _, d := range p.Shape {
			n *= d
		}
		p.Value, p.Grad = make([]float32, n), make([]float32, n)
	}
	for _, a := range []affine{g.diff, g.repo} {
		hypernet.InitUniform(a.w, seed, a.w.Shape[1])
		hypernet.InitUniform(a.b, seed, a.w.Shape[1])
	}
	for _, a := range []affine{g.input, g.hidden} {
		hypernet.InitUniform(a.w, seed, g.opts.Hidden)
		hypernet.InitUniform(a.b, seed, g.opts.Hidden)
	}
	for _, a := range []affine{g.diffNorm, g.repoNorm, g.outNorm} {
		for i := range a.w.Value {
			a.w.Value[i] = 1
		}
	}
}

// Read makes a recurrence from the tensors of a checkpoint, whose shapes say how
// large it is. src has the 14 tensors of the released gru_state, by their names,
// and no others; values must be finite.
func Read(src hypernet.TensorSource) (*GRU, error) {
	size := func(name string) (out, in int, err error) {
		shape, ok := src.Shape(name)
		if !ok {
			return 0, 0, fmt.Errorf("recurrence: tensor %q is missing", name)
		}
		if len(shape) != 2 {
			return 0, 0, fmt.Errorf("recurrence: tensor %q: shape %v, want two dimensions", name, shape)
		}
		return shape[0], shape[1], nil
	}
	h, diff, err := size("diff_proj.0.weight")
	if err != nil {
		return nil, err
	}
	_, repo, err := size("repo_init_proj.0.weight")
	if err != nil {
		return nil, err
	}
	g, err := New(Options{Diff: diff, Repository: repo, Hidden: h})
	if err != nil {
		return nil, err
	}
	if err := hypernet.ReadParams(g.params, src); err != nil {
		return nil, fmt.Errorf("recurrence: %w", err)
	}
	return g, nil
}

// Tensors returns all parameters by name, for [Read]. Their values are not
// copies.
func (g *GRU) Tensors() hypernet.TensorMap {
	ts := hypernet.TensorMap{}
	for _, p := range g.params {
		ts[p.Name] = embedding.Tensor{Shape: slices.Clone(p.Shape), Data: p.Value}
	}
	return ts
}

// Start returns h_0, the state before the first commit is stepped, for the
// vector of the repository at the first commit.
func (g *GRU) Start(repository []float32) ([]float32, error) {
	t, err := g.start(repository)
	if err != nil {
		return nil, err
	}
	return t.y, nil
}

// Step returns the state after a commit, given the state before it and the
// vector of the commit's diff. It keeps and changes neither.
func (g *GRU) Step(state, diff []float32) ([]float32, error) {
	s, err := g.step(state, diff)
	if err != nil {
		return nil, err
	}
	return s.next, nil
}

// Context returns LN_o of a state: what a head reads.
func (g *GRU) Context(state []float32) ([]float32, error) {
	if err := g.check("state", state, g.opts.Hidden); err != nil {
		return nil, err
	}
	var stats [2]float32
	return g.context(state, &stats), nil
}

// check reports a vector that can't be used, or a recurrence without values. A
// state that has once become NaN stays so: it is refused where it comes in.
func (g *GRU) check(what string, v []float32, want int) error {
	if g.params[0].Value == nil {
		return errors.New("recurrence: the parameters have no values: initialise them or read their tensors")
	}
	if len(v) != want {
		return fmt.Errorf("recurrence: %s has %d values, want %d", what, len(v), want)
	}
	for i, x := range v {
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("recurrence: value %d of %s is not finite", i, what)
		}
	}
	return nil
}
