package compute

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// TestPool compares one, two and three backends bit for bit, and all of them
// with a pass over the whole batch, whose gradients are added in another order.
func TestPool(t *testing.T) {
	l := local(t)
	for name, r := range requests(l.Model) {
		whole := do(t, l, r)
		var want *Response
		for n := 1; n <= 3; n++ {
			backends := []Backend{l, RoundTrip{l}, l}[:n]
			p, err := NewPool(40, backends...)
			if err != nil {
				t.Fatal(err)
			}
			got := do(t, p, r)
			if want == nil {
				want = got
			}
			if !equal(got, want) {
				t.Errorf("%s: %d backends answer differently from one", name, n)
			}
		}
		if math.Abs(want.Loss-whole.Loss) > 1e-4 {
			t.Errorf("%s: loss %g in parts, %g at once", name, want.Loss, whole.Loss)
		}
		for i := range r.Sequences {
			if !slices.Equal(want.NLL[i], whole.NLL[i]) || !slices.Equal(want.Argmax[i], whole.Argmax[i]) {
				t.Errorf("%s: sequence %d is scored differently in parts", name, i)
			}
		}
		for i, g := range whole.Grads {
			for k, e := range g.Pairs() {
				close32(t, name, want.Grads[i].Pairs()[k].A, e.A)
				close32(t, name, want.Grads[i].Pairs()[k].B, e.B)
			}
		}
		for l, dx := range whole.Activations {
			close32(t, name, want.Activations[l], dx)
		}
	}
}

// close32 allows for another order of some hundred summands.
func close32(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	most := 0.0
	for _, v := range want {
		most = max(most, math.Abs(float64(v)))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5*most) {
			t.Fatalf("%s: value %d is %g, want %g", name, i, got[i], want[i])
		}
	}
}

// late answers the first request that any of several gets only after all
// others.
type late struct {
	Backend
	first *sync.Once
	rest  *sync.WaitGroup
}

func (b late) Do(ctx context.Context, r *Request) (*Response, error) {
	first := false
	b.first.Do(func() { first = true })
	if first {
		b.rest.Wait()
	} else {
		defer b.rest.Done()
	}
	return b.Backend.Do(ctx, r)
}

func TestPoolOrder(t *testing.T) {
	l := local(t)
	r := requests(l.Model)["full"]
	parts, err := split(r, 40)
	if err != nil || len(parts) < 4 {
		t.Fatalf("%d parts, want at least 4 (%v)", len(parts), err)
	}
	one, err := NewPool(40, l)
	if err != nil {
		t.Fatal(err)
	}
	var rest sync.WaitGroup
	rest.Add(len(parts) - 1)
	b := late{l, &sync.Once{}, &rest}
	two, err := NewPool(40, b, b)
	if err != nil {
		t.Fatal(err)
	}
	if !equal(do(t, two, r), do(t, one, r)) {
		t.Error("the order of the answers changes the result")
	}
}

func TestSplit(t *testing.T) {
	m := tinyModel(t)
	r := requests(m)["full"]
	for _, tokens := range []int{1, 20, 40, 1000} {
		parts, err := split(r, tokens)
		if err != nil {
			t.Fatal(err)
		}
		if tokens == 1000 && len(parts) != 1 {
			t.Errorf("%d tokens: %d parts, want 1", tokens, len(parts))
		}
		seen := make([]int, len(r.Sequences))
		for _, p := range parts {
			size, roots := 0, 0
			for i, s := range p.request.Sequences {
				whole := r.Sequences[p.sequences[i]]
				seen[p.sequences[i]]++
				size += len(s.Tokens)
				if s.Prefix == 0 {
					roots++
				} else if p.sequences[s.Prefix-1] != whole.Prefix-1 {
					t.Errorf("sequence %d continues %d, want %d", p.sequences[i], p.sequences[s.Prefix-1], whole.Prefix-1)
				}
				if s.Adapter >= 0 && p.request.Adapters[s.Adapter] != r.Adapters[whole.Adapter] {
					t.Errorf("sequence %d has another adapter", p.sequences[i])
				}
			}
			if size > tokens && roots > 1 {
				t.Errorf("a part of %d tokens in %d trees, want at most %d tokens", size, roots, tokens)
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Errorf("%d tokens: sequence %d is in %d parts, want 1", tokens, i, n)
			}
		}
	}
}

// broken fails on the n-th request.
type broken struct {
	Backend
	mu  sync.Mutex
	n   int
	err error
}

func (b *broken) Do(ctx context.Context, r *Request) (*Response, error) {
	b.mu.Lock()
	b.n--
	now := b.n == 0
	b.mu.Unlock()
	if now {
		return nil, b.err
	}
	return b.Backend.Do(ctx, r)
}

// short leaves out an answer.
type short struct{ Backend }

func (b short) Do(ctx context.Context, r *Request) (*Response, error) {
	res, err := b.Backend.Do(ctx, r)
	if err == nil {
		res.NLL = res.NLL[1:]
	}
	return res, err
}

func TestPoolErrors(t *testing.T) {
	l := local(t)
	lost := errors.New("connection lost")
	r := requests(l.Model)["full"]
	for name, tt := range map[string]struct {
		b    Backend
		is   error
		want string
	}{
		"a backend fails":     {&broken{Backend: l, n: 3, err: lost}, lost, "part 3 of"},
		"an answer is no fit": {short{l}, nil, "part 1 of"},
	} {
		p, err := NewPool(40, tt.b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Do(context.Background(), r); err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: got error %v, want %v with %q", name, err, tt.is, tt.want)
		}
	}
	p, err := NewPool(40, l, l)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Do(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v, want %v", err, context.Canceled)
	}
	bad := *r
	bad.Batch = model.Batch{Sequences: []model.Sequence{{Tokens: []int32{1}, Prefix: 4}}}
	if _, err := p.Do(context.Background(), &bad); err == nil || !strings.Contains(err.Error(), "sequence 0") {
		t.Errorf("prefix ahead: got error %v", err)
	}
	other := &Local{Model: l.Model, Base: "ef01"}
	if _, err := NewPool(40, l, other); err == nil || !strings.Contains(err.Error(), `"ef01", the first "abcd"`) {
		t.Errorf("two bases: got error %v", err)
	}
	if _, err := NewPool(40, l, precise{l}); err == nil || !strings.Contains(err.Error(), "answer differently") {
		t.Errorf("two precisions: got error %v", err)
	}
	if _, err := NewPool(0, l); err == nil {
		t.Error("parts of no tokens were accepted")
	}
}

// precise says that it computes in another precision.
type precise struct{ *Local }

func (p precise) Info() Info {
	i := p.Local.Info()
	i.Precision = kernel.Int8
	return i
}

// TestUnusedAdapter has an adapter that no sequence uses: its gradient is zero.
func TestUnusedAdapter(t *testing.T) {
	l := local(t)
	r := requests(l.Model)["full"]
	r.Adapters = append(r.Adapters, randomAdapter(l.Model, 9, 0, false))
	p, err := NewPool(20, l)
	if err != nil {
		t.Fatal(err)
	}
	got := do(t, p, r).Grads[3]
	for _, e := range got.Pairs() {
		if e.Module == adapter.QProj && slices.Max(e.A) != 0 {
			t.Fatalf("layer %d: a gradient of %g, want 0", e.Layer, slices.Max(e.A))
		}
	}
}

func TestGroup(t *testing.T) {
	a, b := []int32{1, 2, 3, 4, 5, 6}, []int32{9, 8, 7, 6}
	with := func(prefix []int32, rest ...int32) []int32 { return append(slices.Clone(prefix), rest...) }
	for name, tt := range map[string]struct {
		sequences [][]int32
		rows      int
		want      [][]int
	}{
		"nothing":        {nil, 10, nil},
		"one too long":   {[][]int32{a}, 3, [][]int{{0}}},
		"together":       {[][]int32{with(a, 1), b, with(a, 2)}, 12, [][]int{{0, 1, 2}}},
		"by prefix":      {[][]int32{with(a, 1), with(b, 1), with(a, 2), with(b, 2), with(a, 3)}, 9, [][]int{{0, 2, 4}, {1, 3}}},
		"counted anew":   {[][]int32{with(a, 1), with(a, 2), with(a, 3)}, 8, [][]int{{0, 1}, {2}}},
		"nested":         {[][]int32{with(a, 7, 8), with(a, 7), a}, 8, [][]int{{0, 1, 2}}},
		"the same twice": {[][]int32{a, b, a}, 6, [][]int{{0, 2}, {1}}},
	} {
		if got := Group(tt.sequences, tt.rows); !slices.EqualFunc(got, tt.want, slices.Equal) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
