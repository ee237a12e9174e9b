package mine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/store"
)

// Source is a repository to mine.
type Source struct {
	Name   string // owner/name; "" takes the one that the clone says
	Spec   string // path or URL; "" looks for the name among the mirrors
	Commit string // "" is HEAD
}

// Progress tells what became of a repository.
type Progress struct {
	Name        string
	Done, Total int // repositories
	Commits     int // of the history that were read now
	Took        time.Duration
	Err         error // why it was left out, if it failed
}

// ErrNothing is returned when every repository failed.
var ErrNothing = errors.New("no repository could be mined")

// Run mines repositories and writes the benchmark to the folder of the options.
// A repository that can't be read is left out, and the manifest has the reason;
// only if all fail is that an error. report, which may be nil, is called after
// each repository, by one goroutine at a time.
func Run(ctx context.Context, sources []Source, o Options, report func(Progress)) (*repopeft.Manifest, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Work == "" {
		o.Work = filepath.Join(o.Dir, "work")
	}
	unlock, ok, err := store.TryLock(filepath.Join(o.Work, "lock"))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("another process is mining in %s: wait for it, or work in another folder", o.Work)
	}
	defer unlock()
	if report == nil {
		report = func(Progress) {}
	}
	repos, excluded, err := o.surveys(ctx, sources)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, v := range repos {
			v.repo.Close()
		}
	}()
	failed := len(excluded)
	for i, e := range excluded {
		report(Progress{Name: e.Name, Done: i + 1, Total: len(sources), Err: e.err})
	}
	gone := copies(repos, o.Shared)
	var left []*survey
	for _, v := range repos {
		if why := gone[v]; why != "" {
			excluded = append(excluded, exclusion{repopeft.Excluded{Name: v.name, Reason: why}, nil})
			continue
		}
		left = append(left, v)
	}
	all, err := o.mineAll(ctx, left, len(sources), report)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m *mined) bool {
		switch {
		case m.err != nil:
			failed++
			excluded = append(excluded, exclusion{repopeft.Excluded{Name: m.name, Reason: "failed: " + m.err.Error()}, m.err})
		case m.static == nil && m.history == nil:
			excluded = append(excluded, exclusion{repopeft.Excluded{Name: m.name, Reason: fmt.Sprintf("its history is of the track %q, which was not asked for", m.track)}, nil})
		default:
			return false
		}
		return true
	})
	if len(all) == 0 && failed > 0 {
		err := ErrNothing
		for _, e := range excluded {
			err = fmt.Errorf("%w; %s: %s", err, e.Name, e.Reason)
			if e.err != nil {
				return nil, fmt.Errorf("%w; the first one: %s: %w", ErrNothing, e.Name, e.err)
			}
		}
		return nil, err
	}
	m, err := o.manifest(excluded)
	if err != nil {
		return nil, err
	}
	return m, (&merge{Options: o, repos: all, manifest: m}).write(ctx)
}

// exclusion is a repository that is left out, and the error if it failed.
type exclusion struct {
	repopeft.Excluded
	err error
}

func (o *Options) manifest(excluded []exclusion) (*repopeft.Manifest, error) {
	options, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	m := &repopeft.Manifest{Tool: o.Tool, Profile: string(o.Profile), Options: options}
	if !o.Cutoff.IsZero() {
		m.CutOff = o.Cutoff.Format(time.DateOnly)
	}
	for _, e := range excluded {
		m.Excluded = append(m.Excluded, e.Excluded)
	}
	slices.SortFunc(m.Excluded, func(a, b repopeft.Excluded) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Reason, b.Reason))
	})
	return m, nil
}

// each calls f for 0 to n-1, several at the same time, until one fails.
func (o *Options) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	var wait sync.WaitGroup
	for range min(o.Jobs, max(n, 1)) {
		wait.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// surveys opens all sources, in the order of their names. Those that can't be
// are excluded.
func (o *Options) surveys(ctx context.Context, sources []Source) ([]*survey, []exclusion, error) {
	all := make([]*survey, len(sources))
	errs := make([]error, len(sources))
	err := o.each(ctx, len(sources), func(ctx context.Context, i int) error {
		all[i], errs[i] = o.survey(ctx, sources[i])
		return ctx.Err()
	})
	var repos []*survey
	var excluded []exclusion
	for i, v := range all {
		if v != nil {
			repos = append(repos, v)
		} else if errs[i] != nil {
			name := cmp.Or(sources[i].Name, sources[i].Spec)
			excluded = append(excluded, exclusion{repopeft.Excluded{Name: name, Reason: "failed: " + errs[i].Error()}, errs[i]})
		}
	}
	slices.SortFunc(repos, func(a, b *survey) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(repos) && err == nil; i++ {
		if strings.EqualFold(repos[i-1].name, repos[i].name) {
			err = fmt.Errorf("repository %s is given twice", repos[i].name)
		}
	}
	if err != nil {
		for _, v := range repos {
			v.repo.Close()
		}
		return nil, nil, err
	}
	return repos, excluded, nil
}

// mined is a repository with its shards; nil for a track that isn't wanted.
type mined struct {
	*survey
	static, history *shard
	track           repopeft.Track // of the history
	err             error
}

// mineAll makes the shards of all repositories.
func (o *Options) mineAll(ctx context.Context, repos []*survey, total int, report func(Progress)) ([]*mined, error) {
	all := make([]*mined, len(repos))
	var mu sync.Mutex
	done := total - len(repos)
	err := o.each(ctx, len(repos), func(ctx context.Context, i int) error {
		began := time.Now()
		m := &mined{survey: repos[i]}
		commits, err := o.mineOne(ctx, m)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m.err = err
		all[i] = m
		mu.Lock()
		defer mu.Unlock()
		done++
		report(Progress{Name: m.name, Done: done, Total: total, Commits: commits, Took: time.Since(began), Err: err})
		return nil
	})
	return all, err
}

// mineOne makes the shards of a repository that its tracks need.
func (o *Options) mineOne(ctx context.Context, m *mined) (commits int, err error) {
	if slices.Contains(o.Tracks, repopeft.Static) {
		if m.static, err = o.mineStatic(ctx, o.Work, m.repo, m.name, m.commit); err != nil {
			return 0, err
		}
	}
	if m.track = o.history(m.survey); slices.Contains(o.Tracks, m.track) {
		m.history, commits, err = o.mineHistory(ctx, o.Work, m.repo, m.name, m.commit)
	}
	return commits, err
}
