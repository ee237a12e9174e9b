package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	if len(entries) == 0 {
		return ctx.Err()
	}
	blobs, err := r.Sizes(ctx)
	if err != nil {
		return err
	}
	defer blobs.Close()
	for i, e := range entries {
		if e.kind != "blob" {
			continue
		}
		size, err := blobs.Of(e.id)
		if errors.Is(err, ErrMissingObject) {
			continue
		}
		if err != nil {
			return fmt.Errorf("file %q: %w", e.path, err)
		}
		entries[i].size = size
	}
	return nil
}
