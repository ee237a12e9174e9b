package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The ids of the tree without entries, in repositories of SHA-1 and of SHA-256.
const (
	emptyTree1   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	emptyTree256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
)

// Diffs gives the differences between trees as text, from one process. It is
// not for concurrent use.
type Diffs struct {
	repo *Repo
	ctx  context.Context
	p    *pipe
}

// Diffs starts a reader of differences. It has to be closed.
func (r *Repo) Diffs(ctx context.Context) (*Diffs, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no objects", r.path, ErrNotGit)
	}
	d := &Diffs{repo: r, ctx: ctx}
	return d, d.start()
}

// diffOptions make the text depend on nothing but the trees.
var diffOptions = []string{"-r", "-p", "-U3", "-l1000", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv",
	"--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers", "--no-relative"}

func (d *Diffs) start() (err error) {
	p, err := d.repo.pipe(d.ctx, append([]string{"diff-tree", "--stdin", "-M"}, diffOptions...)...)
	if err == nil {
		d.p = p
	}
	return err
}

// diffEnd is echoed by git diff-tree, which does so with what is no object id.
// In a diff no line begins like this one.
const diffEnd = "!end of diff\n"

// Diff is the difference between two trees.
type Diff struct {
	Text string // unified, with three lines of context
	// Cut tells that there are more bytes than were asked for: Text is the whole
	// lines before.
	Cut bool
	// Unlike tells that Text isn't what a complete clone has for the same trees:
	// renamed files are deleted and added ones, since objects are missing that
	// renames are found with.
	Unlike bool
}

// Between returns the diff from one tree to another, for the files that keep wants
// by their new path; from "" it is all of the other tree. No more than max bytes
// are kept in memory. In a clone that lacks objects the diff may be [Diff.Unlike],
// or the error is [ErrMissingObject]; the reader can be used after it.
func (d *Diffs) Between(from, to string, max int, keep func(path string) bool) (Diff, error) {
	if from == "" {
		from = emptyTree1
		if len(to) == len(emptyTree256) {
			from = emptyTree256
		}
	}
	if !isHex(from) || !isHex(to) {
		return Diff{}, fmt.Errorf("diff in %s of %q and %q: want two tree ids", d.repo.name, from, to)
	}
	text, cut, err := d.ask(from, to, max, keep)
	if !isMissing(err) {
		return Diff{Text: text, Cut: cut}, err
	}
	if err := d.start(); err != nil { // git has ended
		return Diff{}, err
	}
	return d.incomplete(from, to, max, keep)
}

// incomplete is [Diffs.Between] where contents of some of what has changed are
// missing. They matter only where a renamed file may be found with them.
func (d *Diffs) incomplete(from, to string, max int, keep func(path string) bool) (Diff, error) {
	there, unlike, err := d.there(from, to, keep)
	if err != nil {
		return Diff{}, err
	}
	if !unlike {
		if len(there) == 0 { // no paths would mean all
			return Diff{}, nil
		}
		text, cut, err := d.part(max, keep, append([]string{"-M", from, to, "--"}, there...)...)
		if !isMissing(err) { // a file's path may be a folder's, too
			return Diff{Text: text, Cut: cut}, err
		}
	}
	text, cut, err := d.single(from, to, max, keep)
	return Diff{text, cut, true}, err
}

// there returns the files of a diff that are not missing, and whether the diff of
// those that are wanted may then be unlike that of a complete clone. A missing
// file that was deleted could be where a wanted one comes from, and a missing one
// that was added could be what a wanted one has become. Otherwise it could only
// take part in a renaming instead of a wanted file, or free the other part of one
// for it; where nothing is renamed among the files that are there, no two of them
// are alike, so there is nothing to take.
func (d *Diffs) there(from, to string, keep func(path string) bool) (paths []string, unlike bool, err error) {
	changes, err := d.repo.Changes(d.ctx, from, to)
	if err != nil {
		return nil, false, err
	}
	sizes, err := d.repo.Sizes(d.ctx)
	if err != nil {
		return nil, false, err
	}
	defer sizes.Close()
	missing := func(blob string) (bool, error) {
		if blob == "" {
			return false, nil
		}
		_, err := sizes.Of(blob)
		if errors.Is(err, ErrMissingObject) {
			return true, nil
		}
		return false, err
	}
	var added, deleted, goneAdded, goneDeleted bool
	bytes := 0
	for _, c := range changes {
		before, err := missing(c.OldBlob)
		if err != nil {
			return nil, false, err
		}
		after, err := missing(c.Blob)
		if c.Mode == "160000" { // a submodule, whose commit is never here
			after, err = false, nil
		}
		if err != nil {
			return nil, false, err
		}
		wanted := keep(c.Path)
		added, deleted = added || wanted && c.Status == 'A', deleted || wanted && c.Status == 'D'
		if !before && !after {
			paths, bytes = append(paths, c.Path), bytes+len(c.Path)+1
			continue
		}
		if wanted {
			return nil, true, nil
		}
		goneAdded, goneDeleted = goneAdded || c.Status == 'A', goneDeleted || c.Status == 'D'
	}
	if goneDeleted && added || goneAdded && deleted || bytes > maxPathBytes {
		return nil, true, nil
	}
	if (goneAdded && added || goneDeleted && deleted) && len(paths) > 0 {
		unlike, err = d.renames(from, to, paths)
	}
	return paths, unlike, err
}

// renames tells whether any of some files was renamed, or that can't be told.
func (d *Diffs) renames(from, to string, paths []string) (found bool, err error) {
	err = d.repo.stream(d.ctx, nil, func(out io.Reader) error {
		n, err := io.Copy(io.Discard, out)
		found = n > 0
		return err
	}, slices.Concat([]string{"diff-tree", "-r", "-M", "-l1000", "--diff-filter=R", "--name-status", "-z", from, to, "--"}, paths)...)
	if isMissing(err) { // a file's path may be a folder's, too
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("renames in %s from tree %s to %s: %w", d.repo.name, from, to, err)
	}
	return found, nil
}

// part reads the diff of a process of its own.
func (d *Diffs) part(max int, keep func(path string) bool, args ...string) (text string, cut bool, err error) {
	err = d.repo.stream(d.ctx, nil, func(out io.Reader) error {
		text, cut, err = readDiff(bufio.NewReaderSize(io.MultiReader(strings.NewReader("\n"), out, strings.NewReader(diffEnd)), 1<<16), max, keep)
		return err
	}, slices.Concat([]string{"diff-tree"}, diffOptions, args)...)
	return text, cut, err
}

// ask asks the process.
func (d *Diffs) ask(from, to string, max int, keep func(path string) bool) (text string, cut bool, err error) {
	if _, err := io.WriteString(d.p.in, from+" "+to+"\n"+diffEnd); err != nil {
		return "", false, d.p.broken(err)
	}
	text, cut, err = readDiff(d.p.out, max, keep)
	switch {
	case errors.Is(err, errNoTrees): // git goes on
		err = fmt.Errorf("diff in %s of %s and %s: %w", d.repo.name, from, to, err)
	case err != nil:
		err = d.p.broken(err)
	}
	return text, cut, err
}

// errNoTrees is returned where git has not echoed the ids of two trees.
var errNoTrees = fmt.Errorf("%w: one of the two trees (is the clone shallow, partial or damaged?)", ErrMissingObject)

// What one process is given, at most: wanted paths, and where renames are looked
// for, which needs all paths at once, bytes of them.
const (
	maxPaths     = 200
	maxPathBytes = 64 << 10
)

// single asks a process of its own about the files that are wanted only, without
// looking for renames. It doesn't read what else has changed.
func (d *Diffs) single(from, to string, max int, keep func(path string) bool) (text string, cut bool, err error) {
	var paths []string
	err = d.repo.stream(d.ctx, nil, func(out io.Reader) error {
		next := fields(bufio.NewReader(out))
		for {
			path, err := next()
			if errors.Is(err, io.EOF) && path == "" {
				return nil
			}
			if err != nil {
				return outputEnded(err)
			}
			if keep(path) {
				paths = append(paths, path)
			}
		}
	}, "diff-tree", "-r", "--name-only", "-z", "--no-renames", from, to)
	if err != nil {
		return "", false, err
	}
	for chunk := range slices.Chunk(paths, maxPaths) {
		part, more, err := d.part(max-len(text), keep, append([]string{"--no-renames", from, to, "--"}, chunk...)...)
		text, cut = text+part, cut || more
		if isMissing(err) {
			return "", false, fmt.Errorf("diff in %s of %s and %s: %w: %w", d.repo.name, from, to, ErrMissingObject, err)
		}
		if err != nil || cut {
			return text, cut, err
		}
	}
	return text, cut, nil
}

// readDiff reads a line that is dropped, and then a diff to its end.
func readDiff(out *bufio.Reader, max int, keep func(path string) bool) (text string, cut bool, err error) {
	var b strings.Builder
	wanted, first, begin := false, true, true
	for {
		line, err := out.ReadSlice('\n')
		full := err == nil // a long line comes in several pieces
		if err != nil && len(line) == 0 {
			return "", false, err
		}
		switch {
		case begin && string(line) == diffEnd:
			if first {
				return "", false, errNoTrees
			}
			text = b.String()
			if cut {
				text = text[:strings.LastIndexByte(text, '\n')+1]
			}
			return text, cut, nil
		case begin && first: // the ids, echoed
			first = false
		case begin && strings.HasPrefix(string(line), "diff --git "):
			wanted = keep(newPath(strings.TrimSuffix(string(line), "\n")))
			fallthrough
		default:
			if wanted && b.Len()+len(line) > max {
				wanted, cut = false, true
				max = -1
			}
			if wanted {
				b.Write(line)
			}
		}
		begin = full
	}
}

// newPath returns the new path in a line "diff --git a/OLD b/NEW". Where the
// paths have blanks, both are the same unless a file was renamed.
func newPath(line string) string {
	rest := strings.TrimPrefix(line, "diff --git ")
	if strings.HasSuffix(rest, `"`) {
		if at := strings.LastIndex(rest, ` "b/`); at >= 0 {
			if p, err := strconv.Unquote(rest[at+1:]); err == nil {
				return p[2:]
			}
		}
		return ""
	}
	if n := len(rest) / 2; len(rest)%2 == 1 && rest[n] == ' ' && strings.HasPrefix(rest[n+1:], "b/") && rest[2:n] == rest[n+3:] {
		return rest[n+3:]
	}
	if at := strings.LastIndex(rest, " b/"); at >= 0 {
		return rest[at+3:]
	}
	return ""
}

// Close ends the process.
func (d *Diffs) Close() error { return d.p.close() }
