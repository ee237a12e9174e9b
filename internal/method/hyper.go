package method

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/audit"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/tune"
)

// Which says whose adapter a hypernetwork is asked for.
type Which string

// The repository's own adapter, and the controls: a hypernetwork uses its
// input only if own beats all of them.
const (
	Own      Which = "own"
	Average  Which = "average"  // the adapter at the mean of the training repositories
	Stranger Which = "stranger" // of another repository of the suite, drawn anew for each file that is asked about
	Nearest  Which = "nearest"  // of the repository of the suite whose vector is nearest by cosine
	Shuffled Which = "shuffled" // from the own vectors with their entries in another order
)

// Whose returns the choices of a Hypernetwork.
func Whose() []Which { return []Which{Own, Average, Stranger, Nearest, Shuffled} }

// At says which commit a hypernetwork reads.
type At string

// The commits. The paper's hypernetwork has its adapters from the anchor, and
// they get stale; reading the commit before each task is what a user would do who
// makes a new adapter whenever anything has changed.
const (
	AtCommit At = "commit" // the one before the task
	AtAnchor At = "anchor" // the first of the repository that has tasks; before there is one, as AtCommit
)

// Hypernetwork generates the adapter of each repository from what may be seen
// of it.
type Hypernetwork struct {
	As         string // its name
	Checkpoint *hypernet.Checkpoint
	Encoder    encoder.Encoder // the checkpoint's
	Tests      bool            // the encoder reads tests
	Which      Which
	At         At // "" is AtCommit
	// Others are the representations of the repositories of the suite, by name.
	// Only Stranger and Nearest need them.
	Others map[string]*embedding.Representation

	source   audit.Generator // nil: Checkpoint
	mu       sync.Mutex
	adapters map[string]*adapter.Adapter // by what they were generated from
	recent   []string
}

// Name implements [Method].
func (h *Hypernetwork) Name() string { return h.As }

// Prepare implements [Method]. A view in which there is nothing to read, such
// as that of a repository's first commit, gets the average adapter.
func (h *Hypernetwork) Prepare(ctx context.Context, v *disclosure.View) (Asker, error) {
	if h.At == AtAnchor {
		return nil, errNoPast
	}
	return h.ask(v, func() (*embedding.Representation, error) { return Encode(ctx, h.Encoder, v, h.Tests) })
}

// prepareAt implements [historian].
func (h *Hypernetwork) prepareAt(ctx context.Context, v *disclosure.View, p *past) (Asker, error) {
	if h.At == AtAnchor {
		var err error
		if v, err = p.anchorView(ctx); err != nil {
			return nil, err
		}
	}
	return h.ask(v, func() (*embedding.Representation, error) { return Encode(ctx, h.Encoder, v, h.Tests) })
}

// ask answers with the adapter of the choice, for a view whose own representation
// is read if it is needed; nil is one of nothing.
func (h *Hypernetwork) ask(v *disclosure.View, read func() (*embedding.Representation, error)) (Asker, error) {
	rep, err := h.choose(v, read)
	if err != nil {
		return nil, err
	}
	a, err := h.generate(rep)
	if err != nil {
		return nil, err
	}
	return constant{Prompt{Adapter: a}}, nil
}

// choose returns what the adapter is generated from; nil for the average.
func (h *Hypernetwork) choose(v *disclosure.View, read func() (*embedding.Representation, error)) (*embedding.Representation, error) {
	switch h.Which {
	case Average:
		return nil, nil
	case Stranger:
		return h.stranger(v.Repository(), v.Asked())
	}
	own, err := read()
	if err != nil || own == nil {
		return nil, err
	}
	switch h.Which {
	case Nearest:
		return h.nearest(v.Repository(), own)
	case Shuffled:
		return shuffle(own), nil
	}
	return own, nil
}

// Encode reads a view as an encoder does, or returns nil where there is
// nothing to read.
func Encode(ctx context.Context, e encoder.Encoder, v *disclosure.View, tests bool) (*embedding.Representation, error) {
	return encodeSource(ctx, e, readable(e, v, tests))
}

// readable is what an encoder may read of a view: for one of descriptions, the
// name and the README too.
func readable(e encoder.Encoder, v *disclosure.View, tests bool) encoder.Source {
	if opt, err := encoder.ParseID(e.ID()); err == nil && opt.Kind == encoder.KindDescription {
		return named{source{v.Described(), tests}, v.Described()}
	}
	return source{v, tests}
}

// named is a source of which the name is known.
type named struct {
	encoder.Source
	view *disclosure.Described
}

// Name returns owner/name.
func (n named) Name() string { return n.view.Name() }

func encodeSource(ctx context.Context, e encoder.Encoder, src encoder.Source) (*embedding.Representation, error) {
	if len(src.Blobs()) == 0 {
		return nil, nil
	}
	rep, err := e.Encode(ctx, src, nil)
	if errors.Is(err, encoder.ErrNothing) {
		return nil, nil
	}
	return rep, err
}

// source is a view without its tests, unless the encoder reads them.
type source struct {
	encoder.Source
	tests bool
}

// Blobs implements [encoder.Source].
func (s source) Blobs() []encoder.Blob {
	blobs := s.Source.Blobs()
	if s.tests {
		return blobs
	}
	return slices.DeleteFunc(slices.Clone(blobs), func(b encoder.Blob) bool { return gitrepo.IsTestPath(b.Path) })
}

// generate makes the adapter for a representation, or the average one.
// Adapters of equal input are the same pointer, as long as they are recent.
func (h *Hypernetwork) generate(rep *embedding.Representation) (*adapter.Adapter, error) {
	key := ""
	if rep != nil {
		key = rep.Input
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a, ok := h.adapters[key]; ok {
		return a, nil
	}
	source := h.source
	if source == nil {
		source = h.Checkpoint
	}
	var a *adapter.Adapter
	var err error
	if rep == nil {
		a, err = source.AverageAdapter()
	} else {
		a, err = source.Generate(rep)
	}
	if err != nil {
		return nil, err
	}
	const kept = 4
	if h.adapters == nil {
		h.adapters = map[string]*adapter.Adapter{}
	}
	if h.recent = append(h.recent, key); len(h.recent) > kept {
		delete(h.adapters, h.recent[0])
		h.recent = h.recent[1:]
	}
	h.adapters[key] = a
	return a, nil
}

// names returns the repositories of the suite in order.
func (h *Hypernetwork) names() []string {
	names := make([]string, 0, len(h.Others))
	for n := range h.Others {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// stranger returns the representation of another repository, which is drawn by a
// digest of the names of the repository and the file that is asked about: over the
// tasks of a repository several strangers are averaged, and the same ones every
// time.
func (h *Hypernetwork) stranger(name, file string) (*embedding.Representation, error) {
	names := slices.DeleteFunc(h.names(), func(n string) bool { return n == name })
	if len(names) == 0 {
		return nil, fmt.Errorf("no stranger for %s among %d repositories", name, len(h.Others))
	}
	return h.Others[draw(names, name, file)], nil
}

// draw draws a stranger for the tasks of a file.
func draw(strangers []string, name, file string) string {
	sum := sha256.Sum256([]byte("stranger\x00" + name + "\x00" + file))
	return strangers[binary.BigEndian.Uint64(sum[:])%uint64(len(strangers))]
}

// vector is what the likeness of repositories is told by: the vector of the
// repository, of its description, or of its state.
func vector(rep *embedding.Representation) []float32 {
	for _, name := range []string{embedding.Repository, embedding.Description} {
		if t, ok := rep.Tensors[name]; ok {
			return t.Data
		}
	}
	for _, t := range rep.Tensors {
		if len(rep.Tensors) == 1 {
			return t.Data
		}
	}
	return nil
}

// nearest returns the representation of the other repository whose vector has
// the greatest cosine with own, both less the mean of the suite.
func (h *Hypernetwork) nearest(name string, own *embedding.Representation) (*embedding.Representation, error) {
	var mean []float64
	for _, n := range h.names() {
		v := vector(h.Others[n])
		if mean == nil {
			mean = make([]float64, len(v))
		}
		if len(v) != len(mean) {
			return nil, fmt.Errorf("%s: a vector of %d, others have %d", n, len(v), len(mean))
		}
		for i, x := range v {
			mean[i] += float64(x) / float64(len(h.Others))
		}
	}
	var best *embedding.Representation
	most := -2.0
	for _, n := range h.names() {
		if n == name {
			continue
		}
		c := cosine(vector(own), vector(h.Others[n]), mean)
		if c > most {
			best, most = h.Others[n], c
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no other repository near %s among %d", name, len(h.Others))
	}
	return best, nil
}

// cosine returns that of the angle between two vectors, less their mean.
func cosine(a, b []float32, mean []float64) float64 {
	var ab, aa, bb float64
	for i := range min(len(a), len(b)) {
		x, y := float64(a[i])-mean[i], float64(b[i])-mean[i]
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// shuffle permutes the entries of each tensor: norms and distributions stay,
// the meaning goes.
func shuffle(rep *embedding.Representation) *embedding.Representation {
	out := *rep
	out.Input = "shuffled:" + rep.Input
	out.Tensors = map[string]embedding.Tensor{}
	for name, t := range rep.Tensors {
		data := slices.Clone(t.Data)
		rng := rand.New(rand.NewPCG(uint64(len(data)), 7))
		rng.Shuffle(len(data), func(i, j int) { data[i], data[j] = data[j], data[i] })
		out.Tensors[name] = embedding.Tensor{Shape: t.Shape, Data: data}
	}
	return &out
}

// PerRepository has an adapter of its own for each repository, trained
// beforehand: DIR/OWNER+NAME is the adapter's folder, or has it as "adapter" where
// package tune has fitted it.
type PerRepository struct {
	As    string
	Dir   string
	Which Which // Own (also if empty) or Stranger, which is another one in Dir
	Dims  adapter.Dims

	mu   sync.Mutex
	name string // of the repository that last is of
	last *adapter.Adapter
}

// Name implements [Method].
func (p *PerRepository) Name() string { return p.As }

// Prepare implements [Method].
func (p *PerRepository) Prepare(_ context.Context, v *disclosure.View) (Asker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := tune.FolderOf(v.Repository())
	if p.Which == Stranger {
		var err error
		if name, err = p.stranger(v.Repository(), v.Asked()); err != nil {
			return nil, err
		}
	}
	if p.last == nil || p.name != name {
		a, err := adapter.Read(p.folder(name), &p.Dims)
		if err != nil {
			return nil, fmt.Errorf("%s has no adapter of its own (if tune was interrupted, run it again): %w", name, err)
		}
		p.name, p.last = name, a
	}
	return constant{Prompt{Adapter: p.last}}, nil
}

// stranger returns the folder of another repository, drawn as that of a
// hypernetwork is.
func (p *PerRepository) stranger(repository, file string) (string, error) {
	entries, err := os.ReadDir(p.Dir) // by name
	if err != nil {
		return "", fmt.Errorf("adapters of strangers: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != tune.FolderOf(repository) && strings.Contains(e.Name(), "+") {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%s: no adapter of another repository than %s", p.Dir, repository)
	}
	return draw(names, repository, file), nil
}

// folder is where the adapter of a repository lies, by the name of its folder.
func (p *PerRepository) folder(name string) string {
	dir := filepath.Join(p.Dir, name)
	if fitted := tune.AdapterDir(dir); isFolder(fitted) {
		return fitted
	}
	return dir
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// combined asks one method for the adapter and another one for the context.
type combined struct {
	as       string
	adapters Method
	contexts Method
}

// Combine returns a method with the adapter of one and the context of another.
func Combine(as string, adapters, contexts Method) Method {
	return &combined{as, adapters, contexts}
}

func (c *combined) Name() string { return c.as }

func (c *combined) Prepare(ctx context.Context, v *disclosure.View) (Asker, error) {
	return c.prepareAt(ctx, v, nil)
}

// prepareAt implements [historian]; without a past it is Prepare.
func (c *combined) prepareAt(ctx context.Context, v *disclosure.View, p *past) (Asker, error) {
	a, err := prepare(ctx, c.adapters, v, p)
	if err != nil {
		return nil, err
	}
	b, err := prepare(ctx, c.contexts, v, p)
	if err != nil {
		return nil, err
	}
	return both{a, b}, nil
}

type both struct{ adapters, contexts Asker }

func (b both) Ask(ctx context.Context, q repopeft.Query, r Room) (Prompt, error) {
	p, err := b.contexts.Ask(ctx, q, r)
	if err != nil {
		return Prompt{}, err
	}
	a, err := b.adapters.Ask(ctx, q, r)
	p.Adapter = a.Adapter
	return p, err
}
