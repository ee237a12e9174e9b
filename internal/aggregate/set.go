package aggregate

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// File is a member of a [Set].
type File struct {
	Path string
	Blob string // git's id of the content, in lower-case hexadecimal
	Size int64  // of the content, in bytes
	// Read tells whether the file has a vector: not if it is too short, or no
	// text. Tokens is how many were read.
	Read   bool
	Tokens int
}

// Vector is what a [Source] knows of a blob.
type Vector struct {
	X, Y   []float32 // X is nil if the blob has no vector; Y without cross moments
	Tokens int
}

// Source gives the vectors of blobs. It calls fn once for each of files, which
// are of different blobs, in any order, but for those that can't be read as
// text. A blob has the same vector every time, bit for bit. The first error of
// fn ends it.
type Source func(ctx context.Context, files []File, fn func(blob string, v Vector) error) error

// ErrVector is returned when a source doesn't give the vector that it gave
// before.
var ErrVector = errors.New("another vector than the one that was added")

// Set is files with the sums over their vectors. Files may be in it several
// times. It is not changed once it is made.
type Set struct {
	files []File // by path, then blob
	sums  *Sums
}

// NewSet returns the set of no files.
func NewSet(o Options) (*Set, error) {
	sums, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Set{sums: sums}, nil
}

// Files returns the members, by path and blob. The slice belongs to the set.
func (s *Set) Files() []File { return s.files }

// Sums returns the sums over the vectors of the files. They belong to the set.
func (s *Set) Sums() *Sums { return s.sums }

// Tokens is the number of tokens read of all files.
func (s *Set) Tokens() (n int) {
	for _, f := range s.files {
		n += f.Tokens
	}
	return n
}

// Equal tells whether two sets have the same files and, bit for bit, the same
// sums.
func (s *Set) Equal(o *Set) bool { return slices.Equal(s.files, o.files) && s.sums.Equal(o.sums) }

func compareFiles(a, b File) int {
	return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Blob, b.Blob))
}

// change is what happens to one blob.
type change struct {
	file  File
	known bool // Read and Tokens of file are
	n     int  // times that it comes, or, negative, goes
	seen  bool // the source has passed it
}

// Change returns the set without some files, of which Path and Blob count, and
// with others, of which Path, Blob and Size do. It asks src for the vectors of
// blobs that were not there before or are not there any more, and for those of
// all files if the maximum of what remains isn't known otherwise.
func (s *Set) Change(ctx context.Context, gone, came []File, src Source) (*Set, error) {
	files, gone, err := s.without(gone)
	if err != nil {
		return nil, err
	}
	changes := map[string]*change{}
	for _, f := range gone {
		c := changes[f.Blob]
		if c == nil {
			c = &change{file: f, known: true}
			changes[f.Blob] = c
		}
		c.n--
	}
	for _, f := range came {
		if err := f.check(); err != nil {
			return nil, err
		}
		c := changes[f.Blob]
		if c == nil {
			c = &change{file: f}
			c.file.Read, c.file.Tokens = false, 0
			changes[f.Blob] = c
		}
		c.n++
	}
	for _, f := range s.files {
		if c := changes[f.Blob]; c != nil && !c.known {
			c.file, c.known = f, true
		}
	}
	sums := s.sums.Clone()
	if err := sums.apply(ctx, changes, src); err != nil {
		return nil, err
	}
	for _, f := range came {
		c := changes[f.Blob]
		files = append(files, File{Path: f.Path, Blob: f.Blob, Size: c.file.Size, Read: c.file.Read, Tokens: c.file.Tokens})
	}
	slices.SortFunc(files, compareFiles)
	r := &Set{files: files, sums: sums}
	return r, r.settle(ctx, src)
}

// without returns the files but those that are gone, and what is known of these.
func (s *Set) without(gone []File) (rest, known []File, err error) {
	type member struct{ path, blob string }
	left := map[member]int{}
	for _, f := range gone {
		left[member{f.Path, f.Blob}]++
	}
	for _, f := range s.files {
		if m := (member{f.Path, f.Blob}); left[m] > 0 {
			left[m]--
			known = append(known, f)
			continue
		}
		rest = append(rest, f)
	}
	if len(known) != len(gone) {
		for _, f := range gone {
			if left[member{f.Path, f.Blob}] > 0 {
				return nil, nil, fmt.Errorf("file %q of blob %s %w", f.Path, f.Blob, ErrAbsent)
			}
		}
	}
	return rest, known, nil
}

// check reports a file that can't be a member.
func (f File) check() error {
	if id, err := hex.DecodeString(f.Blob); err != nil || len(id) != 20 && len(id) != 32 || strings.ToLower(f.Blob) != f.Blob {
		return fmt.Errorf("file %q: blob id %q is not one of git's", f.Path, f.Blob)
	}
	if f.Path == "" || len(f.Path) > maxPath || f.Size < 0 {
		return fmt.Errorf("file %q of %d bytes: want a path, and no negative size", f.Path, f.Size)
	}
	return nil
}

// apply adds and removes the vectors of the blobs that change in number.
func (s *Sums) apply(ctx context.Context, changes map[string]*change, src Source) error {
	var need []File
	for _, c := range changes {
		if c.n != 0 && (!c.known || c.file.Read) {
			need = append(need, c.file)
		}
	}
	if len(need) == 0 {
		return ctx.Err()
	}
	slices.SortFunc(need, func(a, b File) int { return strings.Compare(a.Blob, b.Blob) })
	err := src(ctx, need, func(blob string, v Vector) error {
		c := changes[blob]
		if c == nil || c.n == 0 || c.seen {
			return fmt.Errorf("vector of blob %s, which was not asked for", blob)
		}
		c.seen = true
		if v.X == nil {
			v.Tokens = 0
		}
		if c.known && (v.X == nil || v.Tokens != c.file.Tokens) {
			return fmt.Errorf("file %q, blob %s: %d tokens, not %d: %w", c.file.Path, blob, v.Tokens, c.file.Tokens, ErrVector)
		}
		if v.X == nil {
			return nil
		}
		if v.Tokens < 0 || v.Tokens > maxTokens {
			return fmt.Errorf("file %q, blob %s: %d tokens", c.file.Path, blob, v.Tokens)
		}
		c.file.Read, c.file.Tokens = true, v.Tokens
		for n := c.n; n != 0; {
			var err error
			if n > 0 {
				err, n = s.Add(v.X, v.Y), n-1
			} else {
				err, n = s.Remove(v.X, v.Y), n+1
			}
			if err != nil {
				return fmt.Errorf("file %q, blob %s: %w", c.file.Path, blob, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.n != 0 && c.known && c.file.Read && !c.seen {
			return fmt.Errorf("file %q, blob %s: it can't be read any more: %w", c.file.Path, c.file.Blob, ErrVector)
		}
	}
	return nil
}

// settle finds the maxima that are not known.
func (s *Set) settle(ctx context.Context, src Source) error {
	if s.sums.Settled() {
		return nil
	}
	times := map[string]int{}
	var files []File
	for _, f := range s.files {
		if !f.Read {
			continue
		}
		if times[f.Blob]++; times[f.Blob] == 1 {
			files = append(files, f)
		}
	}
	return s.sums.Settle(func(fn func([]float32) error) error {
		return src(ctx, files, func(blob string, v Vector) error {
			for range times[blob] {
				if v.X == nil {
					return fmt.Errorf("blob %s has none: %w", blob, ErrVector)
				}
				if err := fn(v.X); err != nil {
					return fmt.Errorf("blob %s: %w: %w", blob, ErrVector, err)
				}
			}
			return nil
		})
	})
}

// Keep returns the set of those files that keep says. It takes the others away,
// or adds these up, whichever are fewer: to the same bits.
func (s *Set) Keep(ctx context.Context, keep func(File) bool, src Source) (*Set, error) {
	var kept, gone []File
	for _, f := range s.files {
		if keep(f) {
			kept = append(kept, f)
		} else {
			gone = append(gone, f)
		}
	}
	if len(gone) <= len(kept) {
		return s.Change(ctx, gone, nil, src)
	}
	return (&Set{sums: newSums(s.sums.opt)}).Change(ctx, nil, kept, src)
}

// Merge returns the set of all files of both.
func (s *Set) Merge(o *Set) (*Set, error) {
	sums := s.sums.Clone()
	if err := sums.Merge(o.sums); err != nil {
		return nil, err
	}
	files := slices.Concat(s.files, o.files)
	slices.SortFunc(files, compareFiles)
	return &Set{files, sums}, nil
}

// Subtract returns the set without the files of another, all of which it must
// have: the inverse of Merge. src is asked only for maxima.
func (s *Set) Subtract(ctx context.Context, o *Set, src Source) (*Set, error) {
	files, _, err := s.without(o.files)
	if err != nil {
		return nil, err
	}
	sums := s.sums.Clone()
	if err := sums.Subtract(o.sums); err != nil {
		return nil, err
	}
	r := &Set{files, sums}
	return r, r.settle(ctx, src)
}
