// Package bench measures how fast the engine is on this machine, and how far
// that is from what the machine can do.
//
// A work is something that the program spends its time on: a product with
// weights, a training step, a prefill. [Run] measures the works that are asked
// for, for each model and each precision, and returns a [Report] of figures.
// Nothing in it depends on what the weights are: tokens and adapters are random.
//
// The runs of a round take turns, in the opposite order in every second round,
// so that a neighbour on the machine slows all of them; the first run of each
// is not counted. A figure has the median and the range of its rounds.
//
// # The roofline
//
// For each work there are two numbers that no implementation can do without:
// the floating point operations of a token, and the bytes that have to come
// from memory for it. Together with what this machine was measured to do, the
// best product and the fastest read, they bound the speed:
//
//	limit = 1 / max(bytes/bandwidth, operations/peak)
//
// A figure says the limit, which of the two it is, and what share of it was
// reached. Activations are taken to stay in the caches, so the limit is
// an upper one.
package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// The works, in the order in which they are measured.
const (
	Gemm     = "gemm"     // products with frozen weights, 1024 rows
	Train    = "train"    // loss and gradient: a full batch, and tasks with nested prefixes
	Score    = "score"    // the same tasks scored
	Prefill  = "prefill"  // a prompt
	Decode   = "decode"   // token by token
	Adapters = "adapters" // eight requests at once
	Lookup   = "lookup"   // decoding with drafts
	Memory   = "memory"   // peak of a process that decodes
	Encode   = "encode"   // the default encoder against the bare forward pass
)

// Works lists all works.
func Works() []string {
	return []string{Gemm, Train, Score, Prefill, Decode, Adapters, Lookup, Memory, Encode}
}

// DefaultWorks are those that are measured unless others are asked for: all
// but Encode, which takes minutes.
func DefaultWorks() []string {
	return slices.DeleteFunc(Works(), func(w string) bool { return w == Encode })
}

// Model is a GGUF file to measure.
type Model struct{ Name, Path string }

// Options say what to measure.
type Options struct {
	Models     []Model
	Works      []string           // of [Works]
	Precisions []kernel.Precision // of [Precisions]
	Rounds     int                // runs of each work that count
	// Peak returns the peak memory in bytes of a process of its own that calls
	// [DecodeOnce] with a model in a precision. Memory needs it.
	Peak func(ctx context.Context, m Model, p kernel.Precision) (int64, error)
	// Progress, if not nil, is told what is measured next.
	Progress func(what string)
}

// Validate reports every option that cannot work.
func (o *Options) Validate() error {
	var errs []error
	if o.Rounds < 1 {
		errs = append(errs, fmt.Errorf("rounds %d: want at least 1", o.Rounds))
	}
	if len(o.Works) == 0 {
		errs = append(errs, fmt.Errorf("no works: want some of %q", Works()))
	}
	for _, w := range o.Works {
		if !slices.Contains(Works(), w) {
			errs = append(errs, fmt.Errorf("work %q: want some of %q", w, Works()))
		}
	}
	if len(o.Precisions) == 0 {
		errs = append(errs, errors.New("no precision to measure"))
	}
	if slices.Contains(o.Works, Memory) && o.Peak == nil {
		errs = append(errs, fmt.Errorf("work %q: Peak is missing", Memory))
	}
	return errors.Join(errs...)
}

// Precisions returns the precisions that this machine can do, with the kernels
// in use.
func Precisions() []kernel.Precision {
	was := kernel.CurrentPrecision()
	defer func() { _ = kernel.SetPrecision(was) }() // it was possible before
	var ps []kernel.Precision
	for p := kernel.Float32; ; p++ {
		if _, err := kernel.ParsePrecision(p.String()); err != nil {
			return ps // the one before was the last
		}
		if kernel.SetPrecision(p) == nil {
			ps = append(ps, p)
		}
	}
}

// Sample is what several rounds of one measurement gave.
type Sample struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// sample summarises values, of which there must be some.
func sample(values []float64) Sample {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return Sample{N: n, Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}

// Figure is one line of a report.
type Figure struct {
	Work      string `json:"work"`
	Variant   string `json:"variant"` // of the work: a shape, or what runs
	Model     string `json:"model"`   // empty for the product that all machines are compared by
	Precision string `json:"precision"`
	Unit      string `json:"unit"` // GFLOP/s, tokens/s, MB, or ratio
	Sample
	Roofline *Roofline `json:"roofline,omitempty"`
}

// Report is what a machine does.
type Report struct {
	Machine   Machine            `json:"machine"`
	Bandwidth Sample             `json:"bandwidth"` // GB/s of reading memory
	Peak      map[string]float64 `json:"peak"`      // GFLOP/s: the best product, by precision
	Figures   []Figure           `json:"figures"`
}

// Run measures. The precision in use is as before when it returns.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	was := kernel.CurrentPrecision()
	defer func() { _ = kernel.SetPrecision(was) }()
	networks := make([]*network, len(o.Models)) // all of them, before anything that takes long
	for i, m := range o.Models {
		var err error
		if networks[i], err = openNetwork(m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	r := &runner{Options: o, report: &Report{Machine: ThisMachine(), Peak: map[string]float64{}, Figures: []Figure{}}}
	if err := r.roofs(ctx); err != nil {
		return nil, err
	}
	for _, n := range networks {
		if err := r.model(ctx, n); err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		// Again, since the machine may have been busy before.
		if err := r.roofs(ctx); err != nil {
			return nil, err
		}
	}
	r.finish()
	return r.report, nil
}

// runner is one call of Run.
type runner struct {
	Options
	report *Report
	reads  []float64 // GB/s
	costs  []*cost   // of a token, for each figure; nil: none
}

func (r *runner) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// model measures all that is asked for with one model. It is loaded once for
// each precision: two packings of the weights need not fit in memory together.
func (r *runner) model(ctx context.Context, n *network) error {
	if slices.Contains(r.Works, Gemm) {
		if err := r.gemms(ctx, n); err != nil {
			return err
		}
	}
	for _, p := range r.Precisions {
		if err := kernel.SetPrecision(p); err != nil {
			return err
		}
		if err := r.loaded(ctx, n, p); err != nil {
			return fmt.Errorf("precision %v: %w", p, err)
		}
		if slices.Contains(r.Works, Memory) {
			if err := r.memory(ctx, n, p); err != nil {
				return fmt.Errorf("precision %v: %w", p, err)
			}
		}
	}
	return nil
}

// loaded measures the works that need the weights, in the precision in use.
func (r *runner) loaded(ctx context.Context, n *network, p kernel.Precision) error {
	type work struct {
		name string
		run  func(context.Context, *subject) error
	}
	works := slices.DeleteFunc([]work{
		{Train, r.train}, {Score, r.score}, {Prefill, r.prefill}, {Decode, r.decode}, {Adapters, r.adapters}, {Lookup, r.lookup}, {Encode, r.encode},
	}, func(w work) bool { return !slices.Contains(r.Works, w.name) })
	if len(works) == 0 {
		return nil
	}
	r.progress("%s, %v: loading", n.name, p)
	m, t, err := model.Load(n.path)
	if err != nil {
		return err
	}
	defer m.Close()
	s := &subject{network: n, Model: m, tokenizer: t, precision: p}
	for _, w := range works {
		r.progress("%s, %v: %s", n.name, p, w.name)
		if err := w.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// add appends a figure; c is what its tokens cost, or nil.
func (r *runner) add(f Figure, c *cost) {
	r.report.Figures, r.costs = append(r.report.Figures, f), append(r.costs, c)
}

// finish compares the figures with what the machine has done at best.
func (r *runner) finish() {
	r.report.Bandwidth = sample(r.reads)
	for i, c := range r.costs {
		if f := &r.report.Figures[i]; c != nil {
			f.Roofline = c.roofline(f.Median, r.report.Bandwidth.Max, r.report.Peak[f.Precision])
		}
	}
}

// run does its work once and returns how long the part that counts took.
type run func(ctx context.Context) (time.Duration, error)

// timed is the run whose all counts.
func timed(f func(ctx context.Context) error) run {
	return func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		err := f(ctx)
		return time.Since(began), err
	}
}

// turns does each run once to warm up, and then by turns rounds times. It
// returns the seconds of each: seconds[i][round].
func turns(ctx context.Context, rounds int, runs ...run) (seconds [][]float64, err error) {
	seconds = make([][]float64, len(runs))
	for round := range rounds + 1 {
		for i := range runs {
			if round%2 == 1 {
				i = len(runs) - 1 - i
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			took, err := runs[i](ctx)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				seconds[i] = append(seconds[i], max(took.Seconds(), 1e-9)) // a clock may stand still
			}
		}
	}
	return seconds, nil
}

// rates divides an amount by each of some times.
func rates(amount float64, seconds []float64) []float64 {
	out := make([]float64, len(seconds))
	for i, s := range seconds {
		out[i] = amount / s
	}
	return out
}
