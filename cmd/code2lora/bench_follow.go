package main

import (
	"fmt"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// represented loads a checkpoint with the follower of a mode.
func (a *app) represented(path, mode string, b *base, cache encoder.Cache) (evolve.Represented, error) {
	c, err := a.follower(followFlags{checkpoint: path, mode: mode}, b, cache)
	if err != nil {
		return nil, err
	}
	f, ok := c.Follower.(evolve.Represented)
	if !ok {
		return nil, fmt.Errorf("checkpoint %s: states of %s have no representation", path, c.ID())
	}
	return f, nil
}

// keptCommits lists the kept commits of a benchmark's repositories, which are read
// when they are first asked for.
func keptCommits(b *repopeft.Benchmark) func(string, repopeft.Track) ([]string, error) {
	type of struct {
		repository string
		track      repopeft.Track
	}
	var all map[of][]string
	return func(repository string, track repopeft.Track) ([]string, error) {
		if all == nil {
			read, index := map[of][]string{}, map[of]int{}
			for c, err := range b.Commits() {
				if err != nil {
					return nil, unusable(err)
				}
				at := of{c.Repository, c.Track}
				if last, ok := index[at]; ok && c.Index <= last {
					return nil, unusable(fmt.Errorf("commits of the benchmark: %s of %s has index %d and comes after one with index %d: want them oldest first",
						c.ID, c.Repository, c.Index, last))
				}
				index[at], read[at] = c.Index, append(read[at], c.ID)
			}
			all = read
		}
		kept := all[of{repository, track}]
		if len(kept) == 0 {
			return nil, unusable(fmt.Errorf("the benchmark has no commits of %s in the track %s, so its history can't be followed", repository, track))
		}
		return kept, nil
	}
}
