package method

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/metric"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Meter measures what methods cost. All methods answer each query one after
// another, beginning with another one each time, so that what else the machine
// does falls on all of them alike.
//
// Nothing is known of a repository when its adaptation begins: no vectors, no
// index, no prompt cache. Only its files have been read from git.
type Meter struct {
	Runner *Runner
	// Builder makes the methods. It is called once for each, so that none finds
	// what another one has made; checkpoints come with encoders without a cache.
	Builder func() *Builder
}

// Measured is what a method costs; nil is what is not known.
type Measured struct {
	Name  string // the method's spec
	Level disclosure.Level
	// For each repository, before its first query; averages.
	AdaptSeconds, AdaptFLOP, StoredBytes *float64
	// Once, however many repositories there are: the fit of a shared adapter.
	OnceSeconds, OnceFLOP, OnceBytes *float64
	QuerySeconds                     float64 // median
	QueryFLOP, ExtraTokens           float64 // averages
	Queries, Repositories            int
	Notes                            []string
}

// metered is a method with what was measured of it so far.
type metered struct {
	name       string
	parts      []*costed
	engine     *engine.Engine
	embedded   *embedded
	adapt      []adaptation // to each repository
	seconds    []float64    // of each query
	flop       float64      // of all queries
	extra      float64      // tokens of context of all queries
	last       *adapter.Adapter
	parameters float64 // of last
}

// Measure measures methods on tasks: their repositories at the newest commit
// that tasks may read, with the tasks of that commit as queries.
func (m *Meter) Measure(ctx context.Context, specs []Spec, tasks []*repopeft.Task) ([]Measured, error) {
	if err := m.Runner.Layout.Validate(m.Runner.Engine.Model.MaxContext(), m.Runner.NewTokens); err != nil {
		return nil, err
	}
	all := make([]*metered, len(specs))
	for i, s := range specs {
		var err error
		if all[i], err = m.build(ctx, s); err != nil {
			return nil, err
		}
	}
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b *repopeft.Task) int { return cmp.Compare(place(a), place(b)) })
	queries := 0
	err := chunk(tasks, func(t *repopeft.Task) string { return t.Repository }, func(tasks []*repopeft.Task) error {
		newest := tasks[len(tasks)-1].Parent
		tasks = slices.DeleteFunc(slices.Clone(tasks), func(t *repopeft.Task) bool { return t.Parent != newest })
		repo, err := m.Runner.checkout(ctx, tasks, false)
		if err != nil {
			return err
		}
		defer repo.close()
		if err := m.repository(ctx, repo, all, tasks, &queries); err != nil {
			return fmt.Errorf("%s: %w", tasks[0].Repository, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Measured, len(all))
	for i, x := range all {
		out[i] = x.result(m.Runner.Level)
	}
	return out, nil
}

func (m *Meter) build(ctx context.Context, s Spec) (*metered, error) {
	b := m.Builder()
	x := &metered{name: s.String(), engine: &engine.Engine{Model: m.Runner.Engine.Model, Tokenizer: m.Runner.Engine.Tokenizer, CacheBytes: -1}}
	x.embedded = watch(b.Contexts, sizesOf(&m.Runner.Engine.Model.Config))
	for _, p := range s.Parts {
		one, err := b.part(ctx, p)
		if err != nil {
			return nil, err
		}
		if err := checkLevel(one, m.Runner.Level); err != nil {
			return nil, SettingError{err}
		}
		if _, ok := one.(*PastCut); ok {
			return nil, SettingError{fmt.Errorf("method %s reads the answer: nobody can use it, so it has no costs", p)}
		}
		if wantsPast(one) {
			return nil, SettingError{fmt.Errorf("method %s follows a history, and costs are measured at one commit: \"code2lora update\" reports what a commit costs", p)}
		}
		x.parts = append(x.parts, &costed{part: p, method: one, contexts: b.Contexts})
	}
	return x, nil
}

// repository measures the adaptation to a repository, and its queries.
func (m *Meter) repository(ctx context.Context, repo *checkout, all []*metered, tasks []*repopeft.Task, queries *int) error {
	r := m.Runner
	tree, err := r.tree(ctx, repo, tasks[0])
	if err != nil {
		return err
	}
	first := true
	return chunk(tasks, file, func(tasks []*repopeft.Task) error {
		text, err := repo.asked(ctx, tasks[0])
		if err != nil {
			return err
		}
		view := tree.Hide(tasks[0].File, text)
		if first {
			if err := readAll(ctx, view); err != nil {
				return err
			}
		}
		askers := make([]Asker, len(all))
		for i, x := range all {
			if first {
				if err := m.adapt(ctx, x, view, tasks[0]); err != nil {
					return fmt.Errorf("method %s: %w", x.name, err)
				}
			}
			if askers[i], err = m.prepare(ctx, x, view, tasks[0]); err != nil {
				return fmt.Errorf("%s: method %s: %w", tasks[0].File, x.name, err)
			}
		}
		first = false
		for _, t := range tasks {
			for k := range all {
				i := (k + *queries) % len(all)
				if err := m.query(ctx, all[i], askers[i], t); err != nil {
					return fmt.Errorf("task %s: method %s: %w", t.ID, all[i].name, err)
				}
			}
			if *queries++; m.Runner.Report != nil {
				m.Runner.Report(*queries)
			}
		}
		return nil
	})
}

// readAll reads the files of a view, which then keeps their texts.
func readAll(ctx context.Context, v *disclosure.View) error {
	return v.Each(ctx, v.Blobs(), func(encoder.Blob, []byte) error { return nil })
}

// prepare prepares a method for a file, and asks it about a part of a prefix:
// an editor has shown the file before somebody asks about it.
func (m *Meter) prepare(ctx context.Context, x *metered, v *disclosure.View, t *repopeft.Task) (Asker, error) {
	askers := make([]Asker, len(x.parts))
	for i, p := range x.parts {
		if askers[i] = p.asker; !p.context() {
			continue // one adapter for the repository, whatever the file
		}
		var err error
		if askers[i], err = p.method.Prepare(ctx, v); err != nil {
			return nil, err
		}
		if _, err = askers[i].Ask(ctx, warmUp(t), m.room()); err != nil {
			return nil, err
		}
	}
	x.embedded.take()
	if len(askers) == 2 {
		return both{askers[0], askers[1]}, nil
	}
	return askers[0], nil
}

// warmUp is a query that is not the task's.
func warmUp(t *repopeft.Task) repopeft.Query {
	q := t.Query()
	half := strings.LastIndexByte(q.Prefix[:len(q.Prefix)/2], '\n') + 1
	q.Prefix = q.Prefix[:half]
	return q
}

func (m *Meter) room() Room {
	tok := m.Runner.Engine.Tokenizer
	return Room{Tokens: m.Runner.Layout.ContextTokens, Count: func(text string) int { return len(tok.Encode(text)) }}
}

// query measures one query: from what was typed to the answer.
func (m *Meter) query(ctx context.Context, x *metered, a Asker, t *repopeft.Task) error {
	r, q := m.Runner, t.Query()
	began := time.Now()
	p, err := a.Ask(ctx, q, m.room())
	if err != nil {
		return err
	}
	l, err := r.Layout.lay(r.Engine.Tokenizer, &q, p.Context)
	if err != nil {
		return err
	}
	handle, err := x.engine.Handle(p.Adapter)
	if err != nil {
		return err
	}
	res := x.engine.CompleteBatch(ctx, []engine.Request{{Prompt: engine.Prompt{Tokens: l.ids}, Adapter: handle, Options: engine.Options{
		MaxTokens: r.NewTokens, Stop: []string{"\n"},
		Until: func(text string) bool { _, done := metric.Complete(q.Language, string(q.Kind), text); return done },
	}}})[0]
	if res.Err != nil {
		return res.Err
	}
	x.seconds = append(x.seconds, time.Since(began).Seconds())
	if p.Adapter != x.last {
		x.last, x.parameters = p.Adapter, factorsOf(p.Adapter)
	}
	n := sizesOf(&r.Engine.Model.Config)
	x.flop += n.query(len(l.ids), len(res.Completion.Tokens), x.parameters) + x.embedded.take().flop
	x.extra += float64(l.context)
	return nil
}

// result is what was measured of a method.
func (x *metered) result(level disclosure.Level) Measured {
	n := float64(len(x.seconds))
	out := Measured{Name: x.name, Level: level, Queries: len(x.seconds), Repositories: len(x.adapt),
		QuerySeconds: median(x.seconds), QueryFLOP: x.flop / n, ExtraTokens: x.extra / n}
	out.AdaptSeconds = average(x.adapt, func(a adaptation) *float64 { return a.seconds })
	out.AdaptFLOP = average(x.adapt, func(a adaptation) *float64 { return a.flop })
	out.StoredBytes = average(x.adapt, func(a adaptation) *float64 { return a.bytes })
	for _, a := range x.adapt {
		out.OnceSeconds, out.OnceFLOP, out.OnceBytes = a.once.seconds, a.once.flop, a.once.bytes // the same each time
		for _, note := range a.notes {
			if !slices.Contains(out.Notes, note) {
				out.Notes = append(out.Notes, note)
			}
		}
	}
	return out
}

// average is that of what all repositories have; nil if one lacks it.
func average(all []adaptation, of func(adaptation) *float64) *float64 {
	sum := 0.0
	for _, a := range all {
		v := of(a)
		if v == nil {
			return nil
		}
		sum += *v / float64(len(all))
	}
	return &sum
}

// median returns the middle of some numbers, or the mean of the middle two.
func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
