package evolve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/code2lora/code2lora/internal/aggregate"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// ErrState is returned for a state that a follower can't go on from: another
// follower's, or damaged.
var ErrState = errors.New("not a state of this follower")

// additiveMagic begins the binary form of an additive state:
//
//	"c2ladd01"
//	SHA-256 of the follower's id   32 bytes
//	length of the tree's id, id    1 byte, bytes
//	files left out                 uvarint
//	set                            see package aggregate
//	SHA-256 of all of this
const additiveMagic = "c2ladd01"

// MarshalBinary implements [encoding.BinaryMarshaler].
func (s *sums) MarshalBinary() ([]byte, error) {
	set, err := s.set.MarshalBinary()
	if err != nil {
		return nil, err
	}
	tree, err := hex.DecodeString(s.tree)
	if err != nil {
		return nil, fmt.Errorf("tree %q: %w", s.tree, err)
	}
	b := append([]byte(additiveMagic), s.owner[:]...)
	b = append(append(b, byte(len(tree))), tree...)
	b = append(binary.AppendUvarint(b, uint64(s.leftOut)), set...)
	return seal(b), nil
}

// seal appends the digest of b.
func seal(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Decode implements [Follower]. What is wrong with the data is in the error,
// which is an [ErrState].
func (f *Additive) Decode(data []byte) (State, error) {
	body := data[:max(0, len(data)-sha256.Size)]
	if sum := sha256.Sum256(body); !bytes.HasPrefix(body, []byte(additiveMagic)) || !bytes.Equal(sum[:], data[len(body):]) {
		return nil, fmt.Errorf("%w: %d bytes that are cut off, damaged, or no additive state; begin again", ErrState, len(data))
	}
	s := &sums{set: &aggregate.Set{}}
	body = body[len(additiveMagic):]
	if copy(s.owner[:], body) != len(s.owner) {
		return nil, fmt.Errorf("%w: %d bytes: too short", ErrState, len(data))
	}
	if s.owner != f.owner {
		return nil, f.errOther()
	}
	body = body[len(s.owner):]
	if len(body) < 1 || body[0] != 0 && body[0] != 20 && body[0] != 32 || len(body) <= int(body[0]) {
		return nil, fmt.Errorf("%w: damaged: no tree id", ErrState)
	}
	s.tree, body = hex.EncodeToString(body[1:1+body[0]]), body[1+body[0]:]
	left, n := binary.Uvarint(body)
	if n <= 0 || left > math.MaxInt32 || n > 1 && body[n-1] == 0 {
		return nil, fmt.Errorf("%w: damaged: no number of files left out", ErrState)
	}
	s.leftOut = int(left)
	if err := s.set.UnmarshalBinary(body[n:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if got, want := s.set.Sums().Options(), f.enc.Sums(); got != want {
		return nil, fmt.Errorf("%w: sums %+v, want %+v", ErrState, got, want)
	}
	return s, nil
}

// Without returns a state without the file at a path, or the files of a folder
// there: one subtraction. It is that of a repository that never had them, but
// for encoders with a limit of files, which then have fewer: no other file takes
// their place.
//
// The states that Without, Only and With return are for Adapter, and for one
// another. Advance makes of each the whole state of its commit again.
func (f *Additive) Without(ctx context.Context, r *gitrepo.Repo, s State, name string) (State, error) {
	return f.keep(ctx, r, s, name, false)
}

// Only returns the state of a folder, or of a single file, alone: what a
// repository would have that consists of it, with the paths that it has here. Of
// an encoder with a limit of files it has those that were chosen in the whole
// repository; to choose among the folder's, begin with a filter that includes
// nothing else.
func (f *Additive) Only(ctx context.Context, r *gitrepo.Repo, s State, dir string) (State, error) {
	return f.keep(ctx, r, s, dir, true)
}

// keep returns a state with the files below a path, or with all others.
func (f *Additive) keep(ctx context.Context, r *gitrepo.Repo, s State, name string, below bool) (State, error) {
	a, err := f.own(s)
	if err != nil {
		return nil, err
	}
	clean := path.Clean(name)
	if name == "" || path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, fmt.Errorf("path %q: want one inside the repository, relative to its root", name)
	}
	found := 0
	inside := func(p string) bool {
		return clean == "." || p == clean || strings.HasPrefix(p, clean+"/")
	}
	for _, file := range a.set.Files() {
		if inside(file.Path) {
			found++
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("path %q: %w", name, ErrNotRead)
	}
	snap, err := f.contents(ctx, r)
	if err != nil {
		return nil, err
	}
	set, err := a.set.Keep(ctx, func(file aggregate.File) bool { return inside(file.Path) == below }, f.source(snap, nil))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name(), err)
	}
	return &sums{owner: f.owner, leftOut: a.leftOut, set: set}, nil
}

// ErrNotRead is returned for a path at which a state has no file.
var ErrNotRead = errors.New("no file that was read is there; a state has sources that the filter and the encoder chose")

// With returns the state of two repositories as if they were one: one addition.
// Files of the same path count both. An encoder with a limit of files has chosen
// in each by itself.
func (f *Additive) With(s, other State) (State, error) {
	a, err := f.own(s)
	if err != nil {
		return nil, err
	}
	b, err := f.own(other)
	if err != nil {
		return nil, err
	}
	set, err := a.set.Merge(b.set)
	if err != nil {
		return nil, err
	}
	return &sums{owner: f.owner, leftOut: a.leftOut + b.leftOut, set: set}, nil
}

// contents returns a snapshot that gives contents by blob id.
func (f *Additive) contents(ctx context.Context, r *gitrepo.Repo) (*gitrepo.Snapshot, error) {
	if r.IsGit() {
		return r.Changed(ctx, gitrepo.Step{}, f.filter)
	}
	return r.Snapshot(ctx, "", f.filter)
}
