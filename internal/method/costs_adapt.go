package method

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/tune"
)

// adaptation is what it takes to adapt to one repository; nil is not known.
type adaptation struct {
	seconds, flop, bytes *float64
	once                 once
	notes                []string
}

// once is what is paid once, however many repositories there are; nil where there
// is nothing of the kind, or it is not known.
type once struct{ seconds, flop, bytes *float64 }

// adds sums what two parts take; what one of them doesn't know isn't known.
func (a adaptation) adds(b adaptation) adaptation {
	sum := func(x, y *float64) *float64 {
		if x == nil || y == nil {
			return nil
		}
		return new(*x + *y)
	}
	known := func(x, y *float64) *float64 {
		if x == nil || y == nil {
			return cmp.Or(x, y)
		}
		return new(*x + *y)
	}
	return adaptation{sum(a.seconds, b.seconds), sum(a.flop, b.flop), sum(a.bytes, b.bytes),
		once{known(a.once.seconds, b.once.seconds), known(a.once.flop, b.once.flop), known(a.once.bytes, b.once.bytes)}, append(a.notes, b.notes...)}
}

func nothing() adaptation { return adaptation{seconds: new(0.0), flop: new(0.0), bytes: new(0.0)} }

// costed is a part of a method.
type costed struct {
	part     Part
	method   Method
	contexts *Contexts
	asker    Asker // of the repository at hand
}

// context reports whether a part writes contexts.
func (c *costed) context() bool {
	_, ok := c.method.(*WithContext)
	return ok
}

// adapt measures the adaptation of a method to the repository of a view.
func (m *Meter) adapt(ctx context.Context, x *metered, v *disclosure.View, t *repopeft.Task) error {
	sum := nothing()
	for _, p := range x.parts {
		var a adaptation
		var err error
		switch one := p.method.(type) {
		case *WithContext:
			a, err = m.index(ctx, p, x.embedded, v, t)
		case *Hypernetwork:
			a, err = m.generate(ctx, p, one, v)
		default:
			if p.asker, err = one.Prepare(ctx, v); err == nil {
				a, err = tuned(p, v.Repository(), sizesOf(&m.Runner.Engine.Model.Config))
			}
		}
		if err != nil {
			return err
		}
		sum = sum.adds(a)
	}
	x.adapt = append(x.adapt, sum)
	return nil
}

// index measures what the first query to a repository takes beyond a second
// one: the index.
func (m *Meter) index(ctx context.Context, p *costed, e *embedded, v *disclosure.View, t *repopeft.Task) (adaptation, error) {
	ask := func() (seconds float64, err error) {
		began := time.Now()
		a, err := p.method.Prepare(ctx, v)
		if err == nil {
			_, err = a.Ask(ctx, warmUp(t), m.room())
		}
		return time.Since(began).Seconds(), err
	}
	before := p.contexts.index.Bytes()
	e.take()
	cold, err := ask()
	if err != nil {
		return adaptation{}, err
	}
	made := e.take()
	warm, err := ask()
	e.take()
	bytes := max(float64(p.contexts.index.Bytes()-before), 0) + made.bytes
	return adaptation{seconds: new(max(cold-warm, 0)), flop: &made.flop, bytes: &bytes}, err
}

// generate measures the way from a repository's files to its adapter.
func (m *Meter) generate(ctx context.Context, p *costed, h *Hypernetwork, v *disclosure.View) (adaptation, error) {
	began := time.Now()
	var err error
	if p.asker, err = h.Prepare(ctx, v); err != nil {
		return adaptation{}, err
	}
	seconds := time.Since(began).Seconds()
	given, err := p.asker.Ask(ctx, repopeft.Query{}, Room{})
	if err != nil {
		return adaptation{}, err
	}
	switch h.Which {
	case Average: // one for all repositories, and in the checkpoint
		return nothing(), nil
	case Stranger, Nearest:
		return adaptation{notes: []string{p.part.String() + " takes the adapters of other repositories of the suite: a control, whose adaptation costs nobody anything"}}, nil
	}
	bytes, err := m.storedBytes(given.Adapter)
	if err != nil {
		return adaptation{}, err
	}
	opt, err := encoder.ParseID(h.Encoder.ID())
	if err != nil {
		return adaptation{}, err
	}
	tokens := given.Adapter.Provenance.Tokens
	flop := 2 * float64(hypernet.NumParameters(h.Checkpoint.Head))
	if opt.Kind != encoder.KindLexical {
		n := sizesOf(&m.Runner.Engine.Model.Config)
		flop += n.windows(tokens, opt.Chunk, opt.Layer)
	}
	return adaptation{seconds: &seconds, flop: &flop, bytes: &bytes}, nil
}

// storedBytes is the size of an adapter's folder.
func (m *Meter) storedBytes(a *adapter.Adapter) (float64, error) {
	dir, err := os.MkdirTemp("", "code2lora-costs-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "adapter")
	if err := adapter.WriteNative(path, a, adapter.Options{}); err != nil {
		return 0, err
	}
	return sizeOf(path)
}

// sizeOf is the size of a file, or of the files of a folder.
func sizeOf(path string) (float64, error) {
	sum := 0.0
	err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += float64(info.Size())
		}
		return err
	})
	return sum, err
}

// tuned reads what an adapter that was fitted beforehand has taken.
func tuned(p *costed, repository string, n sizes) (adaptation, error) {
	var path string
	shared := false
	switch one := p.method.(type) {
	case *PerRepository:
		path = one.folder(repository)
	case *Fixed:
		path, shared = p.part.Settings["dir"], true
	default: // the base
		return nothing(), nil
	}
	bytes, err := sizeOf(path)
	if err != nil {
		return adaptation{}, err
	}
	out := adaptation{bytes: &bytes}
	var result *tune.Result
	for _, dir := range []string{path, filepath.Dir(filepath.Clean(path))} {
		if result, err = tune.ReadResult(dir); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		out.notes = []string{fmt.Sprintf("%s: there is no %s beside an adapter, so what it took to fit is not known", p.part, tune.ResultFile)}
		return out, nil
	}
	if err != nil {
		return adaptation{}, err
	}
	out.seconds, out.flop = &result.Seconds, new(n.fit(result))
	if shared {
		fitted := once{out.seconds, out.flop, out.bytes}
		out = nothing()
		out.once = fitted
		out.notes = []string{p.part.String() + " was fitted once for all repositories: its fit is counted once, and no repository needs another one"}
	}
	if result.Labels == 0 {
		out.notes = append(out.notes, fmt.Sprintf("the record of %s doesn't say how many tokens were predicted: the output counts for every token, which is too much", p.part))
	}
	out.notes = append(out.notes, fmt.Sprintf("seconds of %s are those of its fit, on the machine and at the time of the fit", p.part))
	return out, nil
}
