package hub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	commitRE = regexp.MustCompile(`^[0-9a-f]{40}$`)
	etagRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,199}$`)
)

func (c *Client) repoFolder(ref Ref) string {
	return "models--" + strings.ReplaceAll(ref.Repo, "/", "--")
}

// path joins elements of a slash path to the repository's folder in the cache.
func (c *Client) path(ref Ref, elems ...string) string {
	p := filepath.Join(c.CacheDir, c.repoFolder(ref))
	for _, e := range elems {
		p = filepath.Join(p, filepath.FromSlash(e))
	}
	return p
}

// Cached returns the path of a file if it is in the cache. A branch or tag
// means the commit that it was when last asked for, by whichever tool.
func (c *Client) Cached(ref Ref) (path string, ok bool) {
	ref, err := ref.withDefaults()
	if err != nil {
		return "", false
	}
	commit := ref.Revision
	if !commitRE.MatchString(commit) {
		raw, err := os.ReadFile(c.path(ref, "refs", ref.Revision))
		if err != nil {
			return "", false
		}
		if commit = strings.TrimSpace(string(raw)); !commitRE.MatchString(commit) {
			return "", false
		}
	}
	path = c.path(ref, "snapshots", commit, ref.Path)
	info, err := os.Stat(path) // through the link
	return path, err == nil && info.Mode().IsRegular()
}

// link makes the blob visible as snapshots/COMMIT/PATH and returns that path.
// fresh says that no other snapshot can be using the blob yet.
func (c *Client) link(ref Ref, commit, blob string, fresh bool) (string, error) {
	path := c.path(ref, "snapshots", commit, ref.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	target, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return "", err
	}
	if !c.NoSymlinks {
		if old, err := os.Readlink(path); err == nil && old == target {
			return path, nil
		}
		err := replace(path, func(temp string) error { return os.Symlink(target, temp) })
		if err == nil {
			return path, nil
		}
	}
	if fresh {
		return path, os.Rename(blob, path)
	}
	return path, replace(path, func(temp string) error { return copyTo(temp, blob) })
}

// writeRef records which commit the revision is.
func (c *Client) writeRef(ref Ref, commit string) error {
	if ref.Revision == commit {
		return nil
	}
	path := c.path(ref, "refs", ref.Revision)
	if old, err := os.ReadFile(path); err == nil && string(old) == commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return replace(path, func(temp string) error { return os.WriteFile(temp, []byte(commit), 0o666) })
}

// writeMissing records that the hub has no such file at this commit.
func (c *Client) writeMissing(ref Ref, commit string) error {
	path := c.path(ref, ".no_exist", commit, ref.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		return err
	}
	return c.writeRef(ref, commit)
}

// replace has create make a file under a temporary name beside path, and moves
// it there.
func replace(path string, create func(temp string) error) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "new")
	if err := create(temp); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func copyTo(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}

// blobState says whether a usable blob of this size and digest is there. A blob
// of another size is damaged. Its contents are read only if ref says what they
// must be: whoever asks then has a reason to.
func blobState(path string, m meta, ref Ref) (ok bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if m.size >= 0 && info.Size() != m.size {
		return false, nil
	}
	if ref.SHA256 == "" {
		return true, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := newDigest(m, ref)
	if _, err := io.Copy(sum, f); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return sum.check() == nil, nil
}
