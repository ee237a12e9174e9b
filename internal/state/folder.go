package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

// files are objects in a folder.
type files struct {
	dir string
}

func openFolder(dir string) (*files, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state store: %w", err)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("state store %s is a file: give a folder, which is made if it is missing", dir)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("state store: %w", err)
	}
	return &files{dir}, nil
}

func (f *files) locate(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }
func (f *files) readers() int              { return 4 }
func (f *files) close() error              { return nil }

func (f *files) get(ctx context.Context, name string, max int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := os.Open(f.locate(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, max+1))
}

func (f *files) exists(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	_, err := os.Stat(f.locate(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f *files) put(ctx context.Context, name string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.WriteFile(f.locate(name), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func (f *files) remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Remove(f.locate(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *files) list(ctx context.Context, prefix string, fn func(object) error) error {
	return f.walk(ctx, prefix, func(o object, hidden bool) error {
		if hidden {
			return nil // a file that is being written, or was when its process was killed
		}
		return fn(o)
	})
}

// walk calls fn for every file below a folder. What is removed meanwhile is no
// error.
func (f *files) walk(ctx context.Context, prefix string, fn func(o object, hidden bool) error) error {
	return filepath.WalkDir(f.locate(prefix), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(f.dir, path)
		if err != nil {
			return err
		}
		return fn(object{filepath.ToSlash(name), info.Size(), info.ModTime()}, d.Name()[0] == '.')
	})
}

// sweep removes the temporary files of killed writers.
func (f *files) sweep(ctx context.Context, then time.Time) error {
	return f.walk(ctx, "", func(o object, hidden bool) error {
		if !hidden || !o.changed.Before(then) {
			return nil
		}
		return f.remove(ctx, o.name)
	})
}

func (f *files) now(context.Context) (time.Time, error) { return time.Now(), nil }

func (f *files) lock(ctx context.Context, name string) (context.Context, func(), error) {
	unlock, err := store.Lock(ctx, f.locate(name+".lock"))
	return ctx, unlock, err
}

func (f *files) settle(ctx context.Context, name string) error {
	unlock, err := store.ShareLock(ctx, f.locate(name+".lock"))
	if err != nil {
		return err
	}
	unlock()
	return nil
}
