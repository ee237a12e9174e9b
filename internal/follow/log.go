package follow

import (
	"context"
	"errors"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

// LogLine is a commit, with the state that is stored of it, if any. What isn't
// known of that is nil.
type LogLine struct {
	Commit             gitrepo.Commit
	State              *state.Entry
	Norm, Churn, Drift *float64 // Norm and Drift with the job's checkpoint
}

// Log returns the newest n commits of the history of a job, newest first, or all
// of them if n is 0, and what the user should know of them. Of the follower it
// needs the ID only.
func Log(ctx context.Context, j Job, n int) ([]LogLine, []string, error) {
	h, err := readHistory(ctx, j)
	if err != nil {
		return nil, nil, err
	}
	entries, err := j.Store.List(ctx, h.key.Repository, h.key.Model)
	if errors.Is(err, state.ErrCorrupt) {
		h.notes = append(h.notes, err.Error())
	} else if err != nil {
		return nil, nil, err
	}
	if n <= 0 || n > len(h.commits) {
		n = len(h.commits)
	}
	lines := make([]LogLine, n)
	for i := range lines {
		lines[i].Commit = h.commits[len(h.commits)-1-i]
	}
	for _, e := range entries {
		if i, ok := h.at[e.Commit]; ok && len(h.commits)-1-i < n {
			l := &lines[len(h.commits)-1-i]
			l.State, l.Norm, l.Churn, l.Drift = &e, noteOf(e, j.own(noteNorm)), noteOf(e, noteChurn), noteOf(e, j.own(noteDrift))
		}
	}
	return lines, h.notes, nil
}

func noteOf(e state.Entry, note string) *float64 {
	if v, ok := e.Notes[note]; ok {
		return &v
	}
	return nil
}
