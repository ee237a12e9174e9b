package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/report"
	"github.com/code2lora/code2lora/internal/stats"
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

// distanceSummary is what bench score prints of the tasks at some distances from
// the anchor.
type distanceSummary struct {
	report.Bin
	Exact stats.Interval `json:"exact"`
}

// byDistance divides scores by commits with tasks since the anchor; nil if they
// are all in one bin.
func byDistance(scores []*repopeft.Score) []distanceSummary {
	bins := map[report.Bin][]stats.Value{}
	for _, s := range scores {
		b := report.DistanceBin(s.CommitIndex)
		bins[b] = append(bins[b], stats.Value{Cluster: s.Repository, X: oneIf(s.Exact)})
	}
	if len(bins) < 2 {
		return nil
	}
	var out []distanceSummary
	for _, b := range slices.SortedFunc(maps.Keys(bins), func(a, b report.Bin) int { return cmp.Compare(a.From, b.From) }) {
		out = append(out, distanceSummary{b, stats.Mean(bins[b], stats.Options{})})
	}
	return out
}
