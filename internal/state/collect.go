package state

import (
	"context"
	"errors"
	"fmt"
)

// collectLock is held by a collection.
const collectLock = "locks/collect"

// Collect removes the states for which keep returns false, damaged entries, and
// the data that no entry refers to and that is older than an hour (a younger
// one may belong to a Put that hasn't written its entry yet). It returns how
// many entries it removed, and how many bytes in all. One collection runs at a
// time; states may be put meanwhile. A state that replaces one which keep
// refuses may be removed with it.
//
// An entry of a newer version of the program ends it before any data is removed.
func (s *Store) Collect(ctx context.Context, keep func(Entry) bool) (removed int, freed int64, err error) {
	if err := s.begin(ctx); err != nil {
		return 0, 0, err
	}
	held, unlock, err := s.objects.lock(ctx, collectLock)
	if err != nil {
		return 0, 0, fmt.Errorf("collecting states: %w", err)
	}
	defer unlock()
	removed, freed, err = s.collect(held, keep)
	if err != nil {
		if cause := context.Cause(held); cause != nil && ctx.Err() == nil {
			err = cause // the lock was lost
		}
		return removed, freed, fmt.Errorf("collecting states: %w", err)
	}
	return removed, freed, nil
}

func (s *Store) collect(ctx context.Context, keep func(Entry) bool) (removed int, freed int64, err error) {
	used := map[string]bool{} // blobs with an entry
	var drop []object
	err = s.scan(ctx, "entries/", func(o object, e Entry, err error) error {
		switch {
		case errors.Is(err, errNewer):
			return err // it may refer to anything
		case err != nil || !keep(e):
			drop = append(drop, o)
		default:
			used[blobName(e.Digest)] = true
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	for _, o := range drop {
		if err := s.objects.remove(ctx, o.name); err != nil {
			return removed, freed, err
		}
		removed++
		freed += o.size
	}
	now, err := s.objects.now(ctx)
	if err != nil {
		return removed, freed, err
	}
	then := now.Add(-s.grace)
	var old []object
	err = s.objects.list(ctx, "blobs/", func(o object) error {
		if !used[o.name] && o.changed.Before(then) {
			old = append(old, o)
		}
		return nil
	})
	if err != nil {
		return removed, freed, err
	}
	for _, o := range old {
		if err := s.objects.remove(ctx, o.name); err != nil {
			return removed, freed, err
		}
		freed += o.size
	}
	return removed, freed, s.objects.sweep(ctx, then)
}
