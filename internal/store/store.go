// Package store keeps the files that the program writes for itself.
//
// Everything lies below one folder, [Root]:
//
//	catalog.yaml      the user's additions to the model catalogue (optional)
//	models/           base models that were pulled, NAME.gguf
//	stamps/           which files have been verified, see package catalog
//	work/             unfinished pulls
//	locks/            lock files, empty
//	vectors/          a [Cache] of encoder vectors
//	trunk/            a [Cache] of hidden states, see package compute
//	states/           states of repositories, see package state
//	hooks/            logs and locks of updates by git hooks
//	repositories/     clones of repositories that were given as URLs
//
// All of it can be deleted at any time; what is missing is made again.
//
// [WriteFile] and [ReplaceFile] replace a file atomically, wherever it is, as
// does every writer of our file formats. [Lock] excludes other processes, and
// [Cache] is a key-value store that survives crashes and shares well.
package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"github.com/gofrs/flock"
)

// HomeVar is the environment variable that overrides [Root].
const HomeVar = "CODE2LORA_HOME"

// Root returns the folder of the program's files: $CODE2LORA_HOME, or
// "code2lora" in the user's cache folder ($XDG_CACHE_HOME, or the platform's
// equivalent). The folder need not exist.
func Root() string {
	if dir := os.Getenv(HomeVar); dir != "" {
		if abs, err := filepath.Abs(dir); err == nil {
			return abs
		}
		return dir
	}
	xdg.Reload() // the variables may have been set since the program started
	return filepath.Join(xdg.CacheHome, "code2lora")
}

// Clones is the folder of the clones of repositories that were given as URLs.
func Clones() string { return filepath.Join(Root(), "repositories") }

// WriteFile is [ReplaceFile] in a folder that is made when missing.
func WriteFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return ReplaceFile(path, write)
}

// ReplaceFile calls write with a buffered writer and puts what was written at
// path, atomically: whoever opens path sees the old file or the whole new one,
// also after a crash. When write or anything else fails, path is untouched and
// nothing is left behind. If path is a symbolic link, the link is replaced, not
// its target.
func ReplaceFile(path string, write func(io.Writer) error) error {
	return replaceFile(path, true, write)
}

// replaceFile is [ReplaceFile]; without durable the file is still replaced
// atomically, but after a power failure it may be old, new, or empty.
func replaceFile(path string, durable bool, write func(io.Writer) error) error {
	f, err := createTemp(path)
	if err != nil {
		return err
	}
	placed := false
	defer func() {
		if !placed { // also if write panics
			f.Close() // a second close is harmless; the first error is the one to report
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	rename := os.Rename
	if durable {
		if err := f.Sync(); err != nil {
			return err
		}
		rename = Rename
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := rename(f.Name(), path); err != nil {
		return err
	}
	placed = true
	return nil
}

// WriteExactly calls write with w and reports, besides its error, a number of
// bytes other than n. It is for parts of a file whose size has been announced
// before them.
func WriteExactly(w io.Writer, n int64, write func(io.Writer) error) error {
	c := &countingWriter{w: w}
	if err := write(c); err != nil {
		return err
	}
	if c.n != n {
		return fmt.Errorf("%d bytes, want %d", c.n, n)
	}
	return nil
}

// countingWriter counts what has been written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// tempInfix is in the name of every temporary file of [ReplaceFile].
const tempInfix = ".tmp-"

// RemoveTemps removes what writers of files in dir (not below) have left behind
// when they were killed. The caller sees to it that none is at work, as by
// holding a lock.
func RemoveTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name()[0] != '.' || !strings.Contains(e.Name(), tempInfix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// createTemp makes a new file beside path, with the permissions that a new
// file at path would get (os.CreateTemp would make it private).
func createTemp(path string) (*os.File, error) {
	prefix := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+tempInfix)
	for {
		name := prefix + strconv.FormatUint(rand.Uint64(), 36)
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// Rename moves a finished file to its place in the same file system, and makes
// the move durable by syncing the folder. The caller has synced the file.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	syncDir(filepath.Dir(to))
	return nil
}

// syncDir makes new names in a folder durable where the system can. Windows
// can't, and needn't; some network and FUSE file systems refuse, and a folder
// may be writable but not readable. The rename has happened all the same, so
// none of that is a reason to fail.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

// lockPoll is the time between two attempts to take a lock.
const lockPoll = 100 * time.Millisecond

// Lock takes the exclusive lock of the file at path, which is made when
// missing, and waits for it until ctx ends. Two locks exclude each other within
// a process as well as between processes; a lock ends with its process. The
// file stays behind: removing it would let two processes hold "the" lock.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	l, err := newLock(path)
	if err != nil {
		return nil, err
	}
	if _, err := l.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("waiting for lock %s: %w", path, err)
	}
	return func() { l.Unlock() }, nil
}

// ShareLock takes a shared lock of the file at path, of which there may be any
// number at a time, but none while somebody has the lock of [Lock].
func ShareLock(ctx context.Context, path string) (unlock func(), err error) {
	l, err := newLock(path)
	if err != nil {
		return nil, err
	}
	if _, err := l.TryRLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("waiting for lock %s: %w", path, err)
	}
	return func() { l.Unlock() }, nil
}

// TryLock is [Lock] without waiting: ok is false when the lock is taken.
func TryLock(path string) (unlock func(), ok bool, err error) {
	l, err := newLock(path)
	if err != nil {
		return nil, false, err
	}
	if ok, err := l.TryLock(); err != nil || !ok {
		return nil, false, err
	}
	return func() { l.Unlock() }, true, nil
}

func newLock(path string) (*flock.Flock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	return flock.New(path, flock.SetPermissions(0o666)), nil
}
