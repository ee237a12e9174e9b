package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Top lists the regular files in the root folder at ref, in git's order,
// whatever their language. Their sizes may be anything.
func (r *Repo) Top(ctx context.Context, ref string) ([]File, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no commits", r.path, ErrNotGit)
	}
	id, err := r.resolve(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.name, err)
	}
	var files []File
	err = r.stream(ctx, nil, func(out io.Reader) error {
		b := bufio.NewReader(out)
		for {
			line, err := b.ReadBytes(0)
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return nil
			}
			if err != nil {
				return outputEnded(err)
			}
			e, err := parseTreeEntry(line[:len(line)-1])
			if err != nil {
				return err
			}
			if e.kind == "blob" && strings.HasPrefix(e.mode, "100") && e.size >= 0 {
				files = append(files, newFile(e.path, e.id, e.size))
			}
		}
	}, "ls-tree", "-z", "--long", "--full-tree", id)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", r.name, err)
	}
	return files, nil
}

// Root returns the first commit of the history that leads to ref along first
// parents. In a shallow clone it is the one where the history was cut.
func (r *Repo) Root(ctx context.Context, ref string) (Commit, error) {
	if r.git == nil {
		return Commit{}, fmt.Errorf("%s: %w, so it has no history", r.path, ErrNotGit)
	}
	id, err := r.resolve(ctx, ref)
	if err != nil {
		return Commit{}, fmt.Errorf("reading %s: %w", r.name, err)
	}
	out, err := r.git.output(ctx, "log", "--first-parent", "--max-parents=0", "--no-show-signature", "--no-mailmap",
		"--date=raw", "--format=%H %ad", id, "--")
	if err != nil {
		return Commit{}, fmt.Errorf("history of %s at %s: %w", r.name, id, err)
	}
	root, date, ok := strings.Cut(out, " ")
	if !ok || !isHex(root) {
		return Commit{}, fmt.Errorf("history of %s at %s: git log answered %q, want the commit without parents", r.name, id, out)
	}
	return Commit{ID: root, Time: parseRawDate(date)}, nil
}

// Resolve returns the full id of the commit that ref names.
func (r *Repo) Resolve(ctx context.Context, ref string) (string, error) {
	if r.git == nil {
		return "", fmt.Errorf("%s: %w, so it has no commits", r.path, ErrNotGit)
	}
	id, err := r.resolve(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", r.name, err)
	}
	return id, nil
}
