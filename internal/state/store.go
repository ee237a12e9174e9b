package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Put stores a state, replacing that of the same key. It takes Digest and Size
// from data. When it returns nil, the state is safe; when it returns an error or
// the process is killed, the state of the key is the one before or the new one,
// whole.
func (s *Store) Put(ctx context.Context, e Entry, data []byte) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	e.Digest, e.Size = digest(data), int64(len(data))
	if e.Made.IsZero() {
		e.Made = time.Now()
	}
	e.Made = e.Made.UTC().Round(0)
	if err := e.check(); err != nil {
		return err
	}
	file, err := e.encode()
	if err != nil {
		return err
	}
	// The blob is written even if it is there: that makes it young, which
	// keeps it from a collection, and it might be damaged.
	blob := blobName(e.Digest)
	if err := s.objects.put(ctx, blob, data); err != nil {
		return fmt.Errorf("storing %v: %w", e.Key, err)
	}
	if err := s.objects.put(ctx, e.name(), file); err != nil {
		return fmt.Errorf("storing %v: %w", e.Key, err)
	}
	return s.guard(ctx, e, blob, data)
}

// guard puts a blob again if a collection has removed it. That can happen if
// writing blob and entry took longer than the grace period. A collection that
// begins after the entry was written sees it; one that began earlier is waited
// for.
func (s *Store) guard(ctx context.Context, e Entry, blob string, data []byte) error {
	err := s.objects.settle(ctx, collectLock)
	if err == nil {
		var there bool
		there, err = s.objects.exists(ctx, blob)
		if err == nil && !there {
			err = s.objects.put(ctx, blob, data)
		}
	}
	if err != nil {
		return fmt.Errorf("storing %v: %w", e.Key, err)
	}
	return nil
}

// Get returns a state. Its data is as it was put, byte for byte. The error for a
// state that was never put, or has been deleted, is [ErrNotFound], and for one
// that is not as it was put [ErrCorrupt].
func (s *Store) Get(ctx context.Context, k Key) (Entry, []byte, error) {
	var seen string
	for {
		e, ok, err := s.Has(ctx, k)
		if err != nil {
			return Entry{}, nil, err
		}
		if !ok {
			return Entry{}, nil, fmt.Errorf("%v: %w", k, ErrNotFound)
		}
		name := blobName(e.Digest)
		data, err := s.objects.get(ctx, name, e.Size)
		switch {
		case errors.Is(err, errMissing) && seen != e.Digest:
			seen = e.Digest // the state may have been replaced or deleted between the two reads
			continue
		case errors.Is(err, errMissing):
			return Entry{}, nil, s.damaged(k.String(), k.name(), fmt.Sprintf("its data, %s, is missing", s.objects.locate(name)))
		case err != nil:
			return Entry{}, nil, fmt.Errorf("reading %v: %w", k, err)
		case int64(len(data)) != e.Size:
			return Entry{}, nil, s.damaged(k.String(), k.name(), fmt.Sprintf("its data, %s, has %s bytes, want %d",
				s.objects.locate(name), count(len(data), e.Size), e.Size))
		case digest(data) != e.Digest:
			return Entry{}, nil, s.damaged(k.String(), k.name(), fmt.Sprintf("its data, %s, has another SHA-256", s.objects.locate(name)))
		}
		return e, data, nil
	}
}

// count writes a number of bytes of which no more than want+1 were read.
func count(n int, want int64) string {
	if int64(n) > want {
		return fmt.Sprintf("more than %d", want)
	}
	return fmt.Sprint(n)
}

// damaged makes the error for a state, with its entry's object, that is not as
// it was put.
func (s *Store) damaged(what, name, why string) error {
	return fmt.Errorf("%s: %w: %s: delete %s, and the next update makes the state anew from an earlier one; all others can still be used",
		what, ErrCorrupt, why, s.objects.locate(name))
}

// Has returns the entry of a state, if there is one, without looking at the data.
func (s *Store) Has(ctx context.Context, k Key) (Entry, bool, error) {
	if err := s.begin(ctx); err != nil {
		return Entry{}, false, err
	}
	if err := k.check(); err != nil {
		return Entry{}, false, err
	}
	data, err := s.objects.get(ctx, k.name(), maxEntry)
	if errors.Is(err, errMissing) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("reading %v: %w", k, err)
	}
	e, err := decodeEntry(data)
	switch {
	case errors.Is(err, errNewer):
		return Entry{}, false, fmt.Errorf("%v: %s: %w", k, s.objects.locate(k.name()), err)
	case err != nil:
		return Entry{}, false, s.damaged(k.String(), k.name(), err.Error())
	case e.Key != k:
		return Entry{}, false, s.damaged(k.String(), k.name(), "it is the entry of the "+e.Key.String())
	}
	return e, true, nil
}

// Delete removes states. Missing ones are no error. The room that their data
// takes is freed by the next [Store.Collect] that finds it old enough.
func (s *Store) Delete(ctx context.Context, keys ...Key) error {
	for _, k := range keys {
		if err := s.begin(ctx); err != nil {
			return err
		}
		if err := k.check(); err != nil {
			return err
		}
		if err := s.objects.remove(ctx, k.name()); err != nil {
			return fmt.Errorf("deleting %v: %w", k, err)
		}
	}
	return s.begin(ctx)
}

// List returns the entries of a repository and a model, where "" stands for all,
// in the order of Made, then Commit, Repository and Model.
//
// Damaged entries are left out. If there are any, the error is [ErrCorrupt] and
// names them, and the list has all others.
func (s *Store) List(ctx context.Context, repository, model string) ([]Entry, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	var list []Entry
	var bad []error
	err := s.scan(ctx, folder(repository, model), func(_ object, e Entry, err error) error {
		switch {
		case errors.Is(err, ErrCorrupt):
			bad = append(bad, err)
		case err != nil:
			return err
		case (repository == "" || e.Repository == repository) && (model == "" || e.Model == model):
			list = append(list, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing states: %w", err)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(a.Made.Compare(b.Made), cmp.Compare(a.Commit, b.Commit),
			cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Model, b.Model))
	})
	return list, several(bad)
}

// Commits returns the commits of a repository that have a state of a model, in the
// order in which they were put last. It reads no entry, so it is quick where
// [Store.List] isn't, and doesn't notice damage.
func (s *Store) Commits(ctx context.Context, repository, model string) ([]string, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := (Key{repository, "any", model}).check(); err != nil {
		return nil, err
	}
	prefix := folder(repository, model)
	var found []object
	err := s.objects.list(ctx, prefix, func(o object) error {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(o.name, prefix), ".json"); ok && fileName(name) == name {
			o.name = name
			found = append(found, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing states: %w", err)
	}
	slices.SortFunc(found, func(a, b object) int { return cmp.Or(a.changed.Compare(b.changed), cmp.Compare(a.name, b.name)) })
	commits := make([]string, len(found))
	for i, o := range found {
		commits[i] = o.name
	}
	return commits, nil
}

// several joins errors, of which it shows the first few.
func several(errs []error) error {
	const shown = 5
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if n := len(errs) - shown; n > 0 {
		errs = append(errs[:shown:shown], fmt.Errorf("and %d more: %w", n, ErrCorrupt))
	}
	return errors.Join(errs...)
}

// scan reads the entries whose objects begin with prefix, several at a time, and
// calls fn for each, one at a time and in no order. An entry that can't be
// decoded has an error, which is ErrCorrupt or errNewer; scan ends at any other
// error, and at one of fn.
func (s *Store) scan(ctx context.Context, prefix string, fn func(object, Entry, error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make(chan object)
	var mu sync.Mutex // fn, and failed
	var failed error
	fail := func(err error) {
		if failed == nil {
			failed = err
			cancel(err)
		}
	}
	var wg sync.WaitGroup
	for range s.objects.readers() {
		wg.Go(func() {
			for o := range found {
				e, err := s.read(ctx, o)
				mu.Lock()
				switch {
				case errors.Is(err, errMissing): // deleted meanwhile
				case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, errNewer):
					fail(err)
				case failed == nil:
					if err := fn(o, e, err); err != nil {
						fail(err)
					}
				}
				mu.Unlock()
			}
		})
	}
	err := s.objects.list(ctx, prefix, func(o object) error {
		if !strings.HasSuffix(o.name, ".json") {
			return nil // not ours
		}
		select {
		case found <- o:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(found)
	wg.Wait()
	return cmp.Or(failed, err)
}

// read reads an entry that was listed.
func (s *Store) read(ctx context.Context, o object) (Entry, error) {
	data, err := s.objects.get(ctx, o.name, maxEntry)
	if err != nil {
		return Entry{}, err
	}
	e, err := decodeEntry(data)
	switch {
	case errors.Is(err, errNewer):
		return Entry{}, fmt.Errorf("%s: %w", s.objects.locate(o.name), err)
	case err != nil:
		return Entry{}, s.damaged("entry", o.name, err.Error())
	case e.name() != o.name:
		return Entry{}, s.damaged("entry", o.name, "it is that of the "+e.Key.String())
	}
	return e, nil
}

// Lock waits until it is the only one, here and in other processes, to have the
// lock of a repository and a model. In a folder the lock ends with its process.
// On a server it is a lease that is renewed until unlock is called, so that of a
// killed process, or one that was cut off, passes to another after about half a
// minute: it saves doing work twice, and nothing may depend on it for being right.
func (s *Store) Lock(ctx context.Context, repository, model string) (unlock func(), err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	name := "locks/" + digest([]byte(repository + "\x00" + model))[:32]
	_, unlock, err = s.objects.lock(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("locking the states of repository %q: %w", repository, err)
	}
	return unlock, nil
}
