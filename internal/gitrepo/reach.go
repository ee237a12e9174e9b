package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Tree returns the id of the tree of a commit.
func (r *Repo) Tree(ctx context.Context, commit string) (string, error) {
	if r.git == nil {
		return "", fmt.Errorf("%s: %w, so it has no commits", r.path, ErrNotGit)
	}
	if isHex(commit) {
		// Whatever goes wrong with an id is explained below.
		if tree, err := r.git.output(ctx, "rev-parse", "--verify", "--quiet", commit+"^{commit}^{tree}"); err == nil && isHex(tree) {
			return tree, nil
		}
	}
	id, err := r.resolve(ctx, commit)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", r.name, err)
	}
	tree, err := r.git.output(ctx, "rev-parse", "--verify", id+"^{tree}")
	if err != nil {
		return "", fmt.Errorf("tree of commit %s of %s: %w: %w", id, r.name, ErrMissingObject, err)
	}
	return tree, nil
}

// Reachable calls fn with the id of every commit that a ref leads to, along all
// parents, or the HEAD of a linked work tree. The first error of fn ends it.
func (r *Repo) Reachable(ctx context.Context, fn func(id string) error) error {
	if r.git == nil {
		return fmt.Errorf("%s: %w, so it has no commits", r.path, ErrNotGit)
	}
	trees, err := r.git.output(ctx, "worktree", "list", "--porcelain")
	if err != nil {
		return fmt.Errorf("work trees of %s: %w", r.name, err)
	}
	args := []string{"rev-list", "--all"}
	for line := range strings.Lines(trees) {
		id, ok := strings.CutPrefix(strings.TrimSpace(line), "HEAD ")
		if ok && isHex(id) && strings.Trim(id, "0") != "" {
			args = append(args, id)
		}
	}
	err = r.git.stream(ctx, nil, func(out io.Reader) error {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if err := fn(lines.Text()); err != nil {
				return err
			}
		}
		return lines.Err()
	}, append(args, "--")...)
	if err != nil {
		return fmt.Errorf("commits of %s: %w", r.name, err)
	}
	return nil
}

// IsAncestor tells whether a commit leads to another one, or is the same. One that
// isn't there doesn't.
func (r *Repo) IsAncestor(ctx context.Context, commit, of string) (bool, error) {
	if r.git == nil {
		return false, fmt.Errorf("%s: %w, so it has no commits", r.path, ErrNotGit)
	}
	if !isHex(commit) || !isHex(of) {
		return false, fmt.Errorf("%w %q and %q: want full commit ids", ErrRef, commit, of)
	}
	if _, err := r.git.output(ctx, "merge-base", "--is-ancestor", commit, of); err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		return false, nil // status 1, or 128 if one is missing
	}
	return true, nil
}

// Sizes tells the sizes of blobs by their ids, from one process. It is not for
// concurrent use.
type Sizes struct {
	repo *Repo
	p    *pipe
}

// Sizes starts a reader of sizes. It has to be closed.
func (r *Repo) Sizes(ctx context.Context) (*Sizes, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no objects", r.path, ErrNotGit)
	}
	p, err := r.pipe(ctx, "cat-file", "--batch-check=%(objectsize)")
	if err != nil {
		return nil, err
	}
	return &Sizes{r, p}, nil
}

// Of returns the size of a blob in bytes. One that isn't there gives
// [ErrMissingObject]; the reader can be used after it.
func (s *Sizes) Of(id string) (int64, error) {
	if !isHex(id) {
		return 0, fmt.Errorf("reading %s: blob id %q is not one of git's", s.repo.name, id)
	}
	if _, err := io.WriteString(s.p.in, id+"\n"); err != nil {
		return 0, s.p.broken(err)
	}
	line, err := s.p.out.ReadString('\n')
	if err != nil {
		return 0, s.p.broken(err)
	}
	if strings.HasSuffix(line, " missing\n") {
		return 0, fmt.Errorf("blob %s of %s: %w (is the clone shallow, partial or damaged?)", id, s.repo.name, ErrMissingObject)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil || n < 0 {
		return 0, s.p.broken(errors.New("answered " + strconv.Quote(line) + ", want a size"))
	}
	return n, nil
}

// Close ends the process.
func (s *Sizes) Close() error { return s.p.close() }

// Compile checks f, and returns a function that tells why a regular file of
// that path and size is not wanted by what its path and size say, or "". What
// only the content tells, it doesn't know.
func (f Filter) Compile() (func(path string, size int64) Reason, error) {
	m, err := f.compile()
	if err != nil {
		return nil, err
	}
	return m.skip, nil
}

// Changes returns what differs between two trees, in git's order and without
// looking for renames; from "" it is all of the other tree.
func (r *Repo) Changes(ctx context.Context, from, to string) ([]Change, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no trees", r.path, ErrNotGit)
	}
	if from == "" {
		from = emptyTree1
		if len(to) == len(emptyTree256) {
			from = emptyTree256
		}
	}
	if !isHex(from) || !isHex(to) {
		return nil, fmt.Errorf("changes of %s from %q to %q: want the full ids of two trees", r.name, from, to)
	}
	var changes []Change
	err := r.stream(ctx, nil, func(out io.Reader) error {
		next := fields(bufio.NewReaderSize(out, 1<<16))
		for {
			field, err := next()
			if errors.Is(err, io.EOF) && field == "" {
				return nil
			}
			if err != nil {
				return outputEnded(err)
			}
			entry, ok := strings.CutPrefix(field, ":")
			if !ok {
				return fmt.Errorf("git diff-tree: entry %q: want one that begins with %q", field, ":")
			}
			c, err := readChange(entry, next)
			if err != nil {
				return err
			}
			changes = append(changes, c)
		}
	}, "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", from, to, "--")
	if err != nil {
		return nil, fmt.Errorf("changes of %s from tree %s to %s: %w", r.name, from, to, err)
	}
	return changes, nil
}
