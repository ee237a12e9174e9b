package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
)

// maxExportBytes bounds what Export writes of one commit.
const maxExportBytes = 1 << 30

// Export writes the files of a commit to a folder, as they are stored and all
// of them, whatever .gitattributes says. Links and submodules are left out: a
// stranger's link may lead anywhere.
func (r *Repo) Export(ctx context.Context, ref, dir string) error {
	if r.git == nil {
		return fmt.Errorf("%s: %w", r.path, ErrNotGit)
	}
	commit, err := r.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	list, err := r.git.output(ctx, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	blobs, err := r.Blobs(ctx)
	if err != nil {
		return err
	}
	defer blobs.Close()
	left := int64(maxExportBytes)
	for entry := range strings.SplitSeq(strings.TrimRight(list, "\x00"), "\x00") {
		head, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(head)
		if !ok || len(fields) < 3 || !strings.HasPrefix(fields[0], "100") {
			continue
		}
		data, err := blobs.Read(fields[2], left)
		if errors.Is(err, ErrTooLarge) {
			return fmt.Errorf("%s: commit %.12s has more than %d bytes: %w", r.path, commit, int64(maxExportBytes), err)
		}
		if err != nil {
			return err
		}
		left -= int64(len(data))
		if parent := path.Dir(name); parent != "." {
			if err := root.MkdirAll(parent, 0o755); err != nil {
				return err
			}
		}
		mode := os.FileMode(0o644)
		if fields[0] == "100755" {
			mode = 0o755
		}
		if err := root.WriteFile(name, data, mode); err != nil {
			return err
		}
	}
	return nil
}
