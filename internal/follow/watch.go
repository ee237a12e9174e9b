package follow

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// WatchOptions say how a repository is watched.
type WatchOptions struct {
	Ref string // empty: HEAD
	// Settle is how long refs have to be quiet before they are looked at; a
	// rebase moves them for each commit. 0 is 300 ms.
	Settle time.Duration
	// Poll is the time between two looks when there are no events. 0 is 2 s
	// where the system gives none, and a minute where it does, against those
	// that get lost.
	Poll time.Duration
	// PollOnly asks for no events, as on network file systems, which give those
	// of this machine alone.
	PollOnly bool
}

// Watch calls moved with the commit of a ref, at first and then each time when it
// is another one, until ctx ends; the error is then nil. When moved fails it is
// called again at the next look at the refs. failed is told what went
// wrong, once until something else does: the events that the system refuses, a
// ref that isn't there at the moment, and errors of moved.
func Watch(ctx context.Context, r *gitrepo.Repo, o WatchOptions, moved func(commit string) error, failed func(error)) error {
	if !r.IsGit() {
		return errors.Join(gitrepo.ErrNotGit, errors.New("there are no refs to watch"))
	}
	events, err := watchRefs(r, o.PollOnly)
	if err != nil {
		failed(err)
	}
	defer events.close()
	settle, poll := o.Settle, o.Poll
	if settle <= 0 {
		settle = 300 * time.Millisecond
	}
	if poll <= 0 {
		poll = time.Minute
		if events.watcher == nil {
			poll = 2 * time.Second
		}
	}
	var last, said string
	for {
		id, err := r.Resolve(ctx, o.Ref)
		if err == nil && id != last {
			if err = moved(id); err == nil {
				last = id
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && err.Error() != said {
			failed(err)
			said = err.Error()
		} else if err == nil {
			said = ""
		}
		if err := events.wait(ctx, settle, poll); err != nil {
			return nil // ctx has ended
		}
	}
}

// refEvents gives the events of the files that refs are in. Without a watcher
// there are none.
type refEvents struct {
	watcher *fsnotify.Watcher
	dirs    []string // git directories
}

// watchRefs watches HEAD and its like in the git directory, and refs in the one
// that work trees share. With an error there are no events.
func watchRefs(r *gitrepo.Repo, pollOnly bool) (*refEvents, error) {
	e := &refEvents{}
	if pollOnly {
		return e, nil
	}
	common, err := r.CommonDir()
	if err != nil {
		return e, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return e, err
	}
	e.dirs = []string{r.GitDir(), common}
	for _, dir := range e.dirs {
		if err := w.Add(dir); err != nil {
			w.Close()
			return e, err
		}
		for _, name := range []string{"refs", "reftable"} {
			if err := addTree(w, filepath.Join(dir, name)); err != nil {
				w.Close()
				return e, err
			}
		}
	}
	e.watcher = w
	return e, nil
}

// addTree watches a folder and those in it. Folders that aren't there, or not
// any more, are none.
func addTree(w *fsnotify.Watcher, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = w.Add(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func (e *refEvents) close() {
	if e.watcher != nil {
		e.watcher.Close()
	}
}

// maxSettle bounds the time to settle, as a multiple of that of a single change:
// refs that never come to rest are looked at all the same.
const maxSettle = 10

// wait returns when refs have changed and settled, or after poll.
func (e *refEvents) wait(ctx context.Context, settle, poll time.Duration) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if e.watcher != nil {
		events, errs = e.watcher.Events, e.watcher.Errors
	}
	var until time.Time // set by the first event
	rest := func() {
		if until.IsZero() {
			until = time.Now().Add(maxSettle * settle)
		}
		timer.Reset(min(settle, time.Until(until)))
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case ev := <-events:
			if !e.concerns(ev.Name) {
				continue
			}
			if ev.Has(fsnotify.Create) {
				_ = addTree(e.watcher, ev.Name) // what isn't watched is polled
			}
			rest()
		case <-errs: // such as more events than the system keeps
			rest()
		}
	}
}

// concerns tells whether a file of the git directory is about refs: those that
// are being written, and all the others, aren't.
func (e *refEvents) concerns(path string) bool {
	if strings.HasSuffix(path, ".lock") {
		return false
	}
	for _, dir := range e.dirs {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			continue
		}
		switch first, _, _ := strings.Cut(filepath.ToSlash(rel), "/"); first {
		case "HEAD", "packed-refs", "refs", "reftable":
			return true
		}
	}
	return false
}
