package evolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Recurrent is the [Follower] of a [Checkpoint].
//
// A state begins as in training: h_0 of the repository's vector at the commit,
// stepped with the diff from the empty tree to the commit, whether or not that
// is the root of the history. A repository of which nothing can be encoded
// begins with the zero vector.
type Recurrent struct {
	ckpt   *Checkpoint
	id     string
	repo   encoder.Encoder
	opt    encoder.Options
	diff   *DiffEncoder
	filter gitrepo.Filter // see Filtered
}

var _ Follower = (*Recurrent)(nil)

// NewRecurrent returns the follower of a checkpoint, with the base model that it
// was trained for. cache keeps vectors of files and diffs, and may be nil.
func NewRecurrent(c *Checkpoint, m *model.Model, t *tokenizer.Tokenizer, cache encoder.Cache) (*Recurrent, error) {
	id, err := RecurrentID(c)
	if err != nil {
		return nil, err
	}
	f := &Recurrent{ckpt: c, id: id}
	if f.opt, err = encoder.ParseID(c.Encoder); err != nil {
		return nil, err
	}
	if f.repo, err = encoder.New(f.opt, m, t, cache); err != nil {
		return nil, err
	}
	if c.Head.Dims() != m.Config.Dims() {
		return nil, fmt.Errorf("checkpoint %s: it is for base %q, whose layers have other sizes than those of the loaded model", c.Name, c.Base.Name)
	}
	f.diff, err = NewDiffEncoder(c.Settings.Diff, c.Base.SHA256, m, t, cache)
	return f, err
}

// RecurrentID returns the id of the follower of a checkpoint, in the current
// precision.
func RecurrentID(c *Checkpoint) (string, error) {
	digest, err := c.digest()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("recurrent/1 checkpoint=%s precision=%s", digest, kernel.CurrentPrecision()), nil
}

// ID implements [Follower].
func (f *Recurrent) ID() string { return f.id }

// recurrentState is the [State] of a [Recurrent].
type recurrentState struct {
	hidden []float32 // (H) h_t
	steps  int       // commits since it was begun
	files  int       // read at the beginning
	tokens int       // read at the beginning
	tree   string    // of the commit
	last   string    // tree of the last commit that stepped the state
}

// Steps implements [State].
func (s *recurrentState) Steps() int { return s.steps }

// stateMagic begins the binary form of a state:
//
//	magic, steps, files, tokens (uint32 each)
//	tree, last: length (uint8) and hexadecimal digits each
//	H (uint32), hidden (H float32)
//
// All numbers are little-endian.
const stateMagic = "c2l gru state 1\n"

// MarshalBinary implements [State].
func (s *recurrentState) MarshalBinary() ([]byte, error) {
	b := []byte(stateMagic)
	for _, n := range []int{s.steps, s.files, s.tokens} {
		if n < 0 || n > math.MaxUint32 {
			return nil, fmt.Errorf("state: number %d: want 0 to %d", n, uint32(math.MaxUint32))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	for _, tree := range []string{s.tree, s.last} {
		b = append(append(b, byte(len(tree))), tree...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.hidden)))
	for _, v := range s.hidden {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b, nil
}

// Decode implements [Follower].
func (f *Recurrent) Decode(data []byte) (State, error) {
	s, err := decodeState(data, f.ckpt.GRU.Options().Hidden)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return s, nil
}

func decodeState(data []byte, H int) (*recurrentState, error) {
	b, ok := bytes.CutPrefix(data, []byte(stateMagic))
	if !ok {
		return nil, fmt.Errorf("it doesn't begin with %q", stateMagic)
	}
	short := errors.New("it has been cut")
	s := &recurrentState{}
	for _, n := range []*int{&s.steps, &s.files, &s.tokens} {
		if len(b) < 4 {
			return nil, short
		}
		*n, b = int(binary.LittleEndian.Uint32(b)), b[4:]
	}
	for _, tree := range []*string{&s.tree, &s.last} {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return nil, short
		}
		*tree, b = string(b[1:1+b[0]]), b[1+b[0]:]
		if !isTree(*tree) {
			return nil, fmt.Errorf("tree %q is no object id", *tree)
		}
	}
	if len(b) < 4 {
		return nil, short
	}
	if n := binary.LittleEndian.Uint32(b); int64(n) != int64(H) {
		return nil, fmt.Errorf("it has %d values, want %d", n, H)
	}
	if b = b[4:]; len(b) != 4*H {
		return nil, fmt.Errorf("%d bytes of values, want %d", len(b), 4*H)
	}
	s.hidden = make([]float32, H)
	for i := range s.hidden {
		v := math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("value %d is not finite", i)
		}
		s.hidden[i] = v
	}
	return s, nil
}

// isTree reports whether a string is an object id of SHA-1 or SHA-256.
func isTree(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && (len(s) == 40 || len(s) == 64)
}

// Begin implements [Follower].
func (f *Recurrent) Begin(ctx context.Context, r *gitrepo.Repo, commit string, report func(encoder.Progress)) (State, error) {
	snap, err := r.Snapshot(ctx, commit, f.opt.Filter(f.filter))
	if err != nil {
		return nil, err
	}
	if snap.Tree == "" {
		return nil, fmt.Errorf("%s: %w, so there are no commits to follow", r.Path(), gitrepo.ErrNotGit)
	}
	v, rep, err := f.repository(ctx, snap, report)
	if err != nil {
		return nil, fmt.Errorf("beginning at commit %s: %w", snap.Commit, err)
	}
	x, err := Transform(&f.ckpt.Inputs.Repository, v)
	if err != nil {
		return nil, err
	}
	h, err := f.ckpt.GRU.Start(x)
	if err != nil {
		return nil, err
	}
	s := &recurrentState{hidden: h, tree: snap.Tree, files: rep.Files, tokens: rep.Tokens}
	if err := f.step(ctx, r, s, "", v); err != nil {
		return nil, fmt.Errorf("beginning at commit %s: %w", snap.Commit, err)
	}
	return s, nil
}

// repository returns the vector of a repository, zero if nothing of it can be
// encoded.
func (f *Recurrent) repository(ctx context.Context, snap *gitrepo.Snapshot, report func(encoder.Progress)) ([]float32, *embedding.Representation, error) {
	return RepositoryVector(ctx, f.repo, snap, f.ckpt.GRU.Options().Repository, report)
}

// RepositoryVector encodes a snapshot to a vector of n values, zero if there is
// nothing in it that can be encoded; n 0 stands for any number, and then the
// vector of nothing is nil.
func RepositoryVector(ctx context.Context, e encoder.Encoder, snap *gitrepo.Snapshot, n int, report func(encoder.Progress)) ([]float32, *embedding.Representation, error) {
	rep, err := e.Encode(ctx, encoder.FromSnapshot(snap), report)
	if errors.Is(err, encoder.ErrNothing) {
		return make([]float32, n), &embedding.Representation{Encoder: e.ID()}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		n = len(rep.Tensors[embedding.Repository].Data)
	}
	v, err := rep.Vector(embedding.Repository, n)
	return v, rep, err
}

// step steps s, from the tree from to its own; repository is the vector of the
// repository there, or nil if it isn't known.
func (f *Recurrent) step(ctx context.Context, r *gitrepo.Repo, s *recurrentState, from string, repository []float32) error {
	var x []float32
	if f.ckpt.Settings.Input != InputRepository {
		d, err := r.Diffs(ctx)
		if err != nil {
			return err
		}
		x, err = f.diff.Between(ctx, d, from, s.tree)
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	if f.ckpt.Settings.Input != InputDiff {
		if repository == nil {
			return errors.New("the vector of the repository is not known")
		}
		x = slices.Concat(x, repository)
	}
	x, err := Transform(&f.ckpt.Inputs.Step, x)
	if err != nil {
		return err
	}
	s.hidden, err = f.ckpt.GRU.Step(s.hidden, x)
	s.last = s.tree
	return err
}

// Advance implements [Follower]. See [Settings] for which commits step a state;
// over others it is carried as it is.
func (f *Recurrent) Advance(ctx context.Context, r *gitrepo.Repo, state State, step gitrepo.Step, parentTree string) (State, error) {
	old, ok := state.(*recurrentState)
	if !ok || len(old.hidden) != f.ckpt.GRU.Options().Hidden {
		return nil, fmt.Errorf("commit %s: %w", step.ID, ErrState)
	}
	if parentTree != "" && parentTree != old.tree {
		return nil, fmt.Errorf("commit %s: the state is that of tree %s, and the commit's parent has tree %s", step.ID, old.tree, parentTree)
	}
	s := *old
	s.steps++
	s.tree = step.Tree
	if f.ckpt.Settings.Commits == CommitsTests && !slices.ContainsFunc(step.Changes, changesTest) {
		return &s, nil
	}
	var v []float32
	if f.ckpt.Settings.Input != InputDiff {
		snap, err := r.Snapshot(ctx, step.ID, f.opt.Filter(f.filter))
		if err != nil {
			return nil, err
		}
		if v, _, err = f.repository(ctx, snap, nil); err != nil {
			return nil, fmt.Errorf("commit %s: %w", step.ID, err)
		}
	}
	if err := f.step(ctx, r, &s, old.last, v); err != nil {
		return nil, fmt.Errorf("commit %s: %w", step.ID, err)
	}
	return &s, nil
}

// changesTest reports whether a change is one of a Python test file.
func changesTest(c gitrepo.Change) bool {
	for _, path := range []string{c.Path, c.From} {
		if gitrepo.Language(path) == "python" && gitrepo.IsTestPath(path) {
			return true
		}
	}
	return false
}

// Adapter implements [Follower]. Files and tokens in the provenance are those
// that were read when the state was begun.
func (f *Recurrent) Adapter(state State) (*adapter.Adapter, error) {
	s, ok := state.(*recurrentState)
	if !ok {
		return nil, ErrState
	}
	a, _, err := f.ckpt.Generate(s.hidden)
	if err != nil {
		return nil, err
	}
	a.Provenance.Files, a.Provenance.Tokens = s.files, s.tokens
	return a, nil
}

// Generate returns the adapter of a state h_t, with what the checkpoint knows of
// its provenance.
func (c *Checkpoint) Generate(state []float32) (*adapter.Adapter, hypernet.ContextTape, error) {
	ctx, err := c.GRU.Context(state)
	if err != nil {
		return nil, nil, err
	}
	a, tape, err := c.Head.GenerateContext(ctx)
	if err != nil {
		return nil, nil, err
	}
	a.Provenance = adapter.Provenance{Base: c.Base, Encoder: c.Encoder, Checkpoint: c.Name}
	return a, tape, nil
}
