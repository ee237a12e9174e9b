package gitrepo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Changed is a [Repo.Snapshot] of a commit that knows of those paths only that
// the commit changed. Since a filter judges each file by itself, the snapshot of
// the parent without every Path of the changes, and every From of a renamed
// one, and with Files, is the snapshot of the commit.
func (r *Repo) Changed(ctx context.Context, step Step, f Filter) (*Snapshot, error) {
	if r.git == nil {
		return nil, fmt.Errorf("%s: %w, so it has no commits", r.path, ErrNotGit)
	}
	m, err := f.compile()
	if err != nil {
		return nil, err
	}
	s := newSnapshot(r, f)
	s.Commit, s.Tree = step.ID, step.Tree
	entries := make([]treeEntry, 0, len(step.Changes))
	for _, c := range step.Changes {
		if c.Blob == "" {
			continue
		}
		e := treeEntry{mode: c.Mode, kind: "blob", id: c.Blob, size: -1, path: c.Path}
		if c.Mode == "160000" {
			e.kind = "commit"
		}
		entries = append(entries, e)
	}
	if err := r.sizes(ctx, entries); err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.name, err)
	}
	for _, e := range entries {
		if err := s.add(e, m); err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.name, err)
		}
	}
	slices.SortFunc(s.Files, compareFiles)
	return s, nil
}

// sizes fills in the sizes of blobs, but of those that are not there.
func (r *Repo) sizes(ctx context.Context, entries []treeEntry) error {
	var files []File
	var at []int
	for i, e := range entries {
		if e.kind == "blob" {
			files, at = append(files, File{BlobID: e.id}), append(at, i)
		}
	}
	if len(files) == 0 {
		return ctx.Err()
	}
	return r.git.stream(ctx, &idReader{files: files}, func(out io.Reader) error {
		b := bufio.NewReader(out)
		for n, f := range files {
			line, err := b.ReadString('\n')
			if err != nil {
				return outputEnded(err)
			}
			answer := strings.Fields(line)
			switch {
			case len(answer) == 2 && answer[1] == "missing":
				continue
			case len(answer) != 3 || answer[0] != f.BlobID || answer[1] != "blob":
				return fmt.Errorf("file %q: git cat-file answered %q, want blob %s", entries[at[n]].path, strings.TrimSpace(line), f.BlobID)
			}
			size, err := strconv.ParseInt(answer[2], 10, 64)
			if err != nil || size < 0 {
				return fmt.Errorf("file %q: git cat-file answered size %q of blob %s", entries[at[n]].path, answer[2], f.BlobID)
			}
			entries[at[n]].size = size
		}
		return nil
	}, "cat-file", "--batch-check", "--buffer")
}
