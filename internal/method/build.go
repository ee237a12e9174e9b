package method

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// Builder makes methods of specs.
type Builder struct {
	// Adapter reads an adapter that fits the base.
	Adapter func(path string) (*adapter.Adapter, error)
	// Checkpoint reads a checkpoint for the base, "" for the one that comes with
	// the program, and gives its encoder.
	Checkpoint func(path string) (*hypernet.Checkpoint, encoder.Encoder, error)
	// Others gives the representations of all repositories of the suite, by an
	// encoder.
	Others func(ctx context.Context, e encoder.Encoder, tests bool) (map[string]*embedding.Representation, error)
	// Recurrent and Additive load a checkpoint with what carries its states.
	Recurrent, Additive func(path string) (evolve.Represented, error)
	// States returns the states of all repositories of the suite, at their newest
	// tasks.
	States func(ctx context.Context, f *Following) (map[string]*embedding.Representation, error)
	// Contexts makes the methods that write contexts.
	Contexts *Contexts
	Dims     adapter.Dims
}

// Names lists the methods that specs may name, with their settings.
func Names() []string {
	return append([]string{
		"base",
		"adapter:dir=DIR: one adapter for all repositories",
		"own-adapter:dir=DIR[,which=own|stranger]: the one of the repository, DIR/OWNER+NAME, or another's that is there; at the level tree, as it was fitted to tests",
		"checkpoint[:file=FILE][,which=own|average|stranger|nearest|shuffled][,at=commit|anchor]",
		"evo:file=FILE[,which=…][,steps=kept|all]: a state that a recurrence carries along the commits",
		"additive[:file=FILE][,which=…][,steps=kept|all]: sums over files, carried along the commits, for a checkpoint",
	}, contextNames...)
}

// Check reports a name that no method has.
func (s Spec) Check() error {
	for _, p := range s.Parts {
		known := slices.ContainsFunc(Names(), func(name string) bool {
			end := strings.IndexFunc(name, func(r rune) bool { return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			return name == p.Name || end >= 0 && name[:end] == p.Name
		})
		if !known {
			return fmt.Errorf("%w %q", ErrUnknown, p.Name)
		}
	}
	return nil
}

// Planned is what is run at one level.
type Planned struct {
	Level disclosure.Level
	Specs []Spec
}

// Plan says which methods are run at which levels: all at each that is asked for,
// but those that were fitted to tests of a repository, such as its own adapter,
// at [disclosure.Tree] alone, asked for or not. Alone or joined with a context
// that sees no tests, their answers are those of somebody who has read tests.
func Plan(specs []Spec, asked []disclosure.Level) []Planned {
	var all []Planned
	levels := asked
	if !slices.Contains(asked, disclosure.Tree) {
		levels = append(slices.Clone(asked), disclosure.Tree)
	}
	for _, l := range levels {
		p := Planned{Level: l}
		for _, s := range specs {
			if l == disclosure.Tree && s.readsTests() || slices.Contains(asked, l) && !s.readsTests() {
				p.Specs = append(p.Specs, s)
			}
		}
		if len(p.Specs) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// readsTests reports whether a method has been fitted to tests of a repository.
func (s Spec) readsTests() bool {
	return slices.ContainsFunc(s.Parts, func(p Part) bool { return p.Name == "own-adapter" })
}

// checkLevel refuses a method that has read more than a level shows.
func checkLevel(m Method, l disclosure.Level) error {
	switch one := m.(type) {
	case *PerRepository:
		if l != disclosure.Tree {
			return fmt.Errorf("method %s was fitted to tests of the repository, which the level %s doesn't show: run it at the level %s", m.Name(), l, disclosure.Tree)
		}
	case *combined:
		return errors.Join(checkLevel(one.adapters, l), checkLevel(one.contexts, l))
	}
	return nil
}

// Build makes the method of a spec. Its name is the spec.
func (b *Builder) Build(ctx context.Context, s Spec) (Method, error) {
	methods := make([]Method, len(s.Parts))
	for i, p := range s.Parts {
		var err error
		if methods[i], err = b.part(ctx, p); err != nil {
			return nil, err
		}
	}
	if len(methods) == 1 {
		return methods[0], nil
	}
	return Combine(s.String(), methods[0], methods[1]), nil
}

func (b *Builder) part(ctx context.Context, p Part) (Method, error) {
	r := p.reader()
	switch p.Name {
	case "base":
		return Base{}, r.done()
	case "adapter":
		dir := r.required("dir", "the adapter's folder or file")
		if err := r.done(); err != nil {
			return nil, err
		}
		a, err := b.Adapter(dir)
		if err != nil {
			return nil, err
		}
		return &Fixed{As: p.String(), Adapter: a}, nil
	case "own-adapter":
		dir := r.required("dir", "the folder with an adapter for each repository")
		which := Which(r.oneOf("which", string(Own), string(Own), string(Stranger)))
		return &PerRepository{As: p.String(), Dir: dir, Which: which, Dims: b.Dims}, r.done()
	case "checkpoint":
		file, which, at := r.text("file", ""), r.which(), At(r.oneOf("at", string(AtCommit), string(AtCommit), string(AtAnchor)))
		if err := r.done(); err != nil {
			return nil, err
		}
		return b.hypernetwork(ctx, p.String(), file, which, at)
	case "evo", "additive":
		which, steps := r.which(), Stepping(r.oneOf("steps", string(StepKept), string(StepKept), string(StepAll)))
		file, load := r.text("file", ""), b.Additive
		if p.Name == "evo" {
			file, load = r.required("file", "a checkpoint with a recurrence"), b.Recurrent
		}
		if err := r.done(); err != nil {
			return nil, err
		}
		return b.following(ctx, p.String(), file, load, which, steps)
	}
	m, err := b.Contexts.Build(p)
	if err == ErrUnknown {
		return nil, fmt.Errorf("%w %q", ErrUnknown, p.Name)
	}
	return m, err
}

// ErrUnknown is returned for a name that no method has.
var ErrUnknown = errors.New("unknown method")

// which reads whose adapter is meant.
func (s *settings) which() Which {
	var choices []string
	for _, w := range Whose() {
		choices = append(choices, string(w))
	}
	return Which(s.oneOf("which", string(Own), choices...))
}

// following makes the method of a follower.
func (b *Builder) following(ctx context.Context, as, file string, load func(string) (evolve.Represented, error), which Which, steps Stepping) (Method, error) {
	follower, err := load(file)
	if err != nil {
		return nil, err
	}
	f := NewFollowing(as, follower, which, steps)
	if which == Stranger || which == Nearest {
		if f.Others, err = b.States(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (b *Builder) hypernetwork(ctx context.Context, as, file string, which Which, at At) (Method, error) {
	ck, enc, err := b.Checkpoint(file)
	if err != nil {
		return nil, err
	}
	opt, err := encoder.ParseID(ck.Encoder)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", ck.Name, err)
	}
	h := &Hypernetwork{As: as, Checkpoint: ck, Encoder: enc, Tests: opt.Tests, Which: which, At: at}
	if which == Stranger || which == Nearest {
		if h.Others, err = b.Others(ctx, enc, opt.Tests); err != nil {
			return nil, err
		}
	}
	return h, nil
}
