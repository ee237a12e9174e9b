package evolve

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/aggregate"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/lru"
)

// Additive is a [Follower] whose state can't drift: exact sums over the vectors
// of the files that an encoder chooses at a commit (their mean and maximum, and
// the moments that the encoder asks for), of which a commit takes away what it
// changes and adds what it leaves. The state at a commit is the same bit
// for bit whichever way it was come by, so none is further from its beginning
// than another: their Steps are 0.
//
// A commit costs the vectors of the blobs that it changes, old and new. Where it
// takes away the only file with the maximum of a dimension, the vectors of all
// files are looked up once; give the encoder a cache, or they are made again.
// Where the encoder has a limit of files and leaves some out, the tree is listed
// too.
//
// States depend on the checkpoint by its encoder only, and can be shared by all
// checkpoints that read the same one.
type Additive struct {
	checkpoint *hypernet.Checkpoint
	enc        encoder.Filewise
	filter     gitrepo.Filter
	id         string
	owner      [sha256.Size]byte // digest of id, which states carry
	vectors    *lru.Cache[string, aggregate.Vector]
}

// keptVectors is how many bytes of file vectors a follower keeps in memory.
const keptVectors = 64 << 20

// NewAdditive returns the additive follower of a checkpoint, for the files that
// filter and the encoder, which must be the checkpoint's, want.
func NewAdditive(checkpoint *hypernet.Checkpoint, enc encoder.Filewise, filter gitrepo.Filter) (*Additive, error) {
	if checkpoint.Encoder != enc.ID() {
		return nil, fmt.Errorf("checkpoint %s: %w: it reads %q, not %q", checkpoint.Name, hypernet.ErrEncoder, checkpoint.Encoder, enc.ID())
	}
	id, err := AdditiveID(enc.ID(), filter)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", checkpoint.Name, err)
	}
	opt, err := encoder.ParseID(enc.ID())
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", checkpoint.Name, err)
	}
	return &Additive{checkpoint: checkpoint, enc: enc, filter: opt.Filter(filter), id: id, owner: sha256.Sum256([]byte(id)),
		vectors: lru.New[string, aggregate.Vector](keptVectors)}, nil
}

// AdditiveID returns the id of the additive follower of checkpoints with an
// encoder, which must be one that is made of files, in the current precision.
func AdditiveID(enc string, filter gitrepo.Filter) (string, error) {
	opt, err := encoder.ParseID(enc)
	if err != nil {
		return "", err
	}
	if opt.Kind == encoder.KindDescription {
		return "", fmt.Errorf("the encoder %q reads a repository as one text, it isn't made of files: there are no sums to keep", enc)
	}
	wanted, err := json.Marshal(opt.Filter(filter))
	if err != nil {
		return "", fmt.Errorf("filter: %w", err)
	}
	digest := sha256.Sum256(wanted)
	id := fmt.Sprintf("additive/2 encoder=%q filter=%x", enc, digest[:8])
	if opt.Kind != encoder.KindLexical {
		// What is taken away must be what was added, to the last bit.
		id += fmt.Sprintf(" precision=%s kernel=%s", kernel.CurrentPrecision(), kernel.Implementation())
	}
	return id, nil
}

// ID implements [Follower].
func (f *Additive) ID() string { return f.id }

// Exact tells that states don't depend on the way to a commit.
func (f *Additive) Exact() bool { return true }

// sums is the state of an [Additive].
type sums struct {
	owner   [sha256.Size]byte
	tree    string // that it is of; "" if it is of no whole tree of git
	leftOut int    // files that the limit of the encoder left out
	set     *aggregate.Set
}

// Steps implements [State].
func (s *sums) Steps() int { return 0 }

// own returns s as a state of this follower.
func (f *Additive) own(s State) (*sums, error) {
	a, ok := s.(*sums)
	if !ok {
		return nil, fmt.Errorf("%w: a %T, want an additive state", ErrState, s)
	}
	if a.owner != f.owner {
		return nil, f.errOther()
	}
	return a, nil
}

func (f *Additive) errOther() error {
	return fmt.Errorf("%w: it was made with another encoder, filter or arithmetic than %s; begin again", ErrState, f.id)
}

// Begin implements [Follower]. An empty commit is HEAD, or the files of a source
// tree without git.
func (f *Additive) Begin(ctx context.Context, r *gitrepo.Repo, commit string, report func(encoder.Progress)) (State, error) {
	snap, err := r.Snapshot(ctx, commit, f.filter)
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = func(encoder.Progress) {}
	}
	chosen, leftOut := f.enc.Choose(encoder.FromSnapshot(snap).Blobs())
	distinct := map[string]encoder.Blob{}
	for _, b := range chosen {
		distinct[b.ID] = b
	}
	var blobs []encoder.Blob
	for _, b := range distinct {
		blobs = append(blobs, b)
	}
	p := encoder.NewProgress(blobs)
	set, err := f.scratch(ctx, chosen, f.source(snap, func(v encoder.FileVector) {
		p.Add(v)
		report(p)
	}))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name(), err)
	}
	return &sums{f.owner, snap.Tree, leftOut, set}, nil
}

// scratch returns the set of the chosen blobs, made from nothing.
func (f *Additive) scratch(ctx context.Context, chosen []encoder.Blob, src aggregate.Source) (*aggregate.Set, error) {
	set, err := aggregate.NewSet(f.enc.Sums())
	if err != nil {
		return nil, err
	}
	files := make([]aggregate.File, len(chosen))
	for i, b := range chosen {
		files[i] = aggregate.File{Path: b.Path, Blob: b.ID, Size: b.Size}
	}
	return set.Change(ctx, nil, files, src)
}

// source gives vectors of blobs of the repository that snap is of: those in
// memory, those in the encoder's cache, and the others from their contents. made
// is told the ones that are not in memory; it may be nil.
func (f *Additive) source(snap *gitrepo.Snapshot, made func(encoder.FileVector)) aggregate.Source {
	return func(ctx context.Context, files []aggregate.File, fn func(string, aggregate.Vector) error) error {
		var missing []encoder.Blob
		for _, file := range files {
			v, ok := f.vectors.Get(file.Blob)
			if !ok {
				missing = append(missing, encoder.Blob{Path: file.Path, ID: file.Blob, Size: file.Size})
				continue
			}
			if made != nil {
				made(encoder.FileVector{Tokens: v.Tokens, Cached: true})
			}
			if err := fn(file.Blob, v); err != nil {
				return err
			}
		}
		return f.enc.Vectors(ctx, encoder.FromSnapshot(snap), missing, func(v encoder.FileVector) error {
			a := aggregate.Vector{X: v.Vector, Y: v.Sketch, Tokens: v.Tokens}
			f.vectors.Put(v.ID, a, int64(4*(len(v.Vector)+len(v.Sketch))+128))
			if made != nil {
				made(v)
			}
			return fn(v.ID, a)
		})
	}
}

// Advance implements [Follower]. If s isn't the state of parentTree, it lists the
// tree of the commit; either way the result is that of Begin there.
func (f *Additive) Advance(ctx context.Context, r *gitrepo.Repo, s State, step gitrepo.Step, parentTree string) (State, error) {
	a, err := f.own(s)
	if err != nil {
		return nil, err
	}
	snap, all, err := f.after(ctx, r, a, step, parentTree)
	if err != nil {
		return nil, err
	}
	chosen, leftOut := f.enc.Choose(all)
	set, err := f.moved(ctx, a.set, chosen, f.source(snap, nil))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name(), err)
	}
	return &sums{f.owner, snap.Tree, leftOut, set}, nil
}

// after lists the files of a commit: by what the commit changed if the state has
// all files of the tree before, else by reading the tree. The snapshot gives
// their contents.
func (f *Additive) after(ctx context.Context, r *gitrepo.Repo, a *sums, step gitrepo.Step, parentTree string) (*gitrepo.Snapshot, []encoder.Blob, error) {
	if all, ok := a.before(step, parentTree); ok {
		snap, err := r.Changed(ctx, step, f.filter)
		if err != nil {
			return nil, nil, err
		}
		return snap, append(all, encoder.FromSnapshot(snap).Blobs()...), nil
	}
	snap, err := r.Snapshot(ctx, step.ID, f.filter)
	if err != nil {
		return nil, nil, err
	}
	return snap, encoder.FromSnapshot(snap).Blobs(), nil
}

// before returns the files that a step leaves alone. It can't if the state hasn't
// all of the tree that the step begins with, or contradicts the step.
func (a *sums) before(step gitrepo.Step, parentTree string) ([]encoder.Blob, bool) {
	if a.tree == "" || a.tree != parentTree || a.leftOut > 0 || step.Tree == "" {
		return nil, false
	}
	touched := map[string]string{} // path -> blob before; "" if there was none
	for _, c := range step.Changes {
		if c.Status == 'R' {
			touched[c.From] = c.OldBlob
		}
		if _, ok := touched[c.Path]; !ok {
			touched[c.Path] = ""
		}
		if c.Status == 'M' || c.Status == 'D' || c.Status == 'T' {
			touched[c.Path] = c.OldBlob
		}
	}
	var rest []encoder.Blob
	for _, file := range a.set.Files() {
		switch before, ok := touched[file.Path]; {
		case !ok:
			rest = append(rest, encoder.Blob{Path: file.Path, ID: file.Blob, Size: file.Size})
		case before != file.Blob:
			return nil, false
		}
	}
	return rest, true
}

// moved returns the set of the chosen blobs, made of another one.
func (f *Additive) moved(ctx context.Context, set *aggregate.Set, chosen []encoder.Blob, src aggregate.Source) (*aggregate.Set, error) {
	type member struct{ path, blob string }
	wanted := map[member]bool{} // paths differ
	for _, b := range chosen {
		wanted[member{b.Path, b.ID}] = true
	}
	var gone, came []aggregate.File
	for _, file := range set.Files() {
		if m := (member{file.Path, file.Blob}); wanted[m] {
			delete(wanted, m)
		} else {
			gone = append(gone, file)
		}
	}
	for _, b := range chosen {
		if wanted[member{b.Path, b.ID}] {
			came = append(came, aggregate.File{Path: b.Path, Blob: b.ID, Size: b.Size})
		}
	}
	next, err := set.Change(ctx, gone, came, src)
	if errors.Is(err, gitrepo.ErrMissingObject) || errors.Is(err, aggregate.ErrVector) || errors.Is(err, aggregate.ErrAbsent) {
		// What is to be taken away is known no more, as after a forced push and a
		// collection of garbage.
		return f.scratch(ctx, chosen, src)
	}
	return next, err
}

// Representation returns what the checkpoint reads of a state: that of the
// encoder's Encode at the same commit, bit for bit.
func (f *Additive) Representation(s State) (*embedding.Representation, error) {
	a, err := f.own(s)
	if err != nil {
		return nil, err
	}
	var read []encoder.Blob
	for _, file := range a.set.Files() {
		if file.Read {
			read = append(read, encoder.Blob{Path: file.Path, ID: file.Blob})
		}
	}
	if len(read) == 0 {
		return nil, fmt.Errorf("%w: %d files, none of them long enough", encoder.ErrNothing, len(a.set.Files()))
	}
	return f.enc.Assemble(a.set.Sums(), a.leftOut, a.set.Tokens(), encoder.InputDigest(read))
}

// Adapter implements [Follower].
func (f *Additive) Adapter(s State) (*adapter.Adapter, error) {
	rep, err := f.Representation(s)
	if err != nil {
		return nil, err
	}
	a, err := f.checkpoint.Generate(rep)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", f.checkpoint.Name, err)
	}
	return a, nil
}
