package gitrepo

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// controlDirs are the directories of version control systems.
var controlDirs = map[string]bool{".git": true, ".hg": true, ".svn": true, ".bzr": true, "CVS": true}

// blobID returns git's id of content: SHA-1 of "blob SIZE NUL CONTENT".
func blobID(content []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(content))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// root returns the directory that holds the files of a plain source tree.
func (r *Repo) root() string {
	if r.temp != "" {
		return r.temp
	}
	return r.path
}

// walk fills s from the files of a plain source tree. Reading goes through
// os.Root, so that nothing outside the tree is reached even if a directory is
// replaced by a link meanwhile. A vendored directory is one skip, not one per
// file.
func (s *Snapshot) walk(ctx context.Context, m *matcher) error {
	root, err := os.OpenRoot(s.repo.root())
	if err != nil {
		return err
	}
	defer root.Close()
	top, err := archiveTop(s.repo, root)
	if err != nil {
		return err
	}
	for _, skip := range s.repo.archived {
		skip.Path = strings.TrimPrefix(skip.Path, top+"/")
		s.skip(skip.Path, skip.Size, skip.Reason)
	}
	return fs.WalkDir(root.FS(), top, func(full string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if full == top {
			return err
		}
		name := full
		if top != "." {
			name = full[len(top)+1:]
		}
		switch {
		case err != nil && d != nil && d.IsDir():
			s.skip(name+"/", 0, ReasonUnreadable)
			return fs.SkipDir
		case err != nil:
			s.skip(name, 0, ReasonUnreadable)
		case d.IsDir():
			return s.enter(root, full, name, m)
		case d.Type()&fs.ModeSymlink != 0:
			s.skip(name, 0, ReasonSymlink)
		case !d.Type().IsRegular():
			s.skip(name, 0, ReasonIrregular)
		default:
			s.addPlain(root, full, name, d, m)
		}
		return nil
	})
}

// enter decides whether a directory is walked.
func (s *Snapshot) enter(root *os.Root, full, name string, m *matcher) error {
	if controlDirs[path.Base(name)] {
		s.skip(name+"/", 0, ReasonIrregular)
		return fs.SkipDir
	}
	if m.KeepVendored {
		return nil
	}
	// pyvenv.cfg marks a virtual environment, whatever its name.
	_, err := root.Lstat(filepath.FromSlash(full + "/pyvenv.cfg"))
	if err == nil || IsVendoredPath(name+"/x") {
		s.skip(name+"/", 0, ReasonVendored)
		return fs.SkipDir
	}
	return nil
}

// addPlain files one regular file under Files or among the skipped.
func (s *Snapshot) addPlain(root *os.Root, full, name string, d fs.DirEntry, m *matcher) {
	info, err := d.Info()
	if err != nil {
		s.skip(name, 0, ReasonUnreadable)
		return
	}
	if why := m.skip(name, info.Size()); why != "" {
		s.skip(name, info.Size(), why)
		return
	}
	content, err := readLimited(root, full, m.MaxBytes)
	if err != nil {
		s.skip(name, info.Size(), ReasonUnreadable)
		return
	}
	// The file may have grown or shrunk since it was listed.
	if why := m.skip(name, int64(len(content))); why != "" {
		s.skip(name, int64(len(content)), why)
		return
	}
	s.Files = append(s.Files, newFile(name, blobID(content), int64(len(content))))
}

// readLimited reads at most limit+1 bytes of a regular file.
func readLimited(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// readPlain passes the contents of files on disk to fn, one at a time.
func (s *Snapshot) readPlain(ctx context.Context, files []File, fn func(File, []byte) error) error {
	root, err := os.OpenRoot(s.repo.root())
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.repo.name, err)
	}
	defer root.Close()
	top, err := archiveTop(s.repo, root)
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.repo.name, err)
	}
	for _, f := range files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		content, err := readLimited(root, path.Join(top, f.Path), f.Size)
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.repo.name, err)
		}
		if id := blobID(content); id != f.BlobID {
			return fmt.Errorf("file %q of %s: %w", f.Path, s.repo.path, ErrChanged)
		}
		if err := fn(f, content); err != nil {
			return err
		}
	}
	return nil
}
