package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

// ErrFrom is returned when a state can't be begun where the job says.
var ErrFrom = errors.New("cannot begin there")

// history is the way to a commit along first parents.
type history struct {
	key     state.Key // without a commit
	commits []gitrepo.Commit
	at      map[string]int // index in commits
	shallow bool
	notes   []string
}

// last returns the commit that the history leads to.
func (h *history) last() gitrepo.Commit { return h.commits[len(h.commits)-1] }

func readHistory(ctx context.Context, j Job) (*history, error) {
	if !j.Repo.IsGit() {
		return nil, fmt.Errorf("%s: %w: there are no commits to follow; \"adapt\" reads a source tree as it is", j.Repo.Path(), gitrepo.ErrNotGit)
	}
	h := &history{at: map[string]int{}}
	var err error
	if h.shallow, err = j.Repo.Shallow(ctx); err != nil {
		return nil, err
	}
	if h.commits, err = j.Repo.Log(ctx, j.Ref, 0); err != nil {
		return nil, err
	}
	if len(h.commits) == 0 {
		return nil, fmt.Errorf("%s: %w", j.Repo.Path(), gitrepo.ErrEmpty)
	}
	for i, c := range h.commits {
		h.at[c.ID] = i
	}
	h.key = state.Key{Repository: h.commits[0].ID, Model: j.model()}
	if h.shallow {
		h.key.Repository = "name:" + j.Repo.Name()
		h.notes = append(h.notes, fmt.Sprintf("the clone is shallow: its history begins at %.12s, and its states are kept apart from those of full clones; git fetch --unshallow gets the rest", h.commits[0].ID))
	}
	edited, err := j.Repo.Edited(ctx)
	for _, what := range edited {
		h.notes = append(h.notes, fmt.Sprintf("the %s of the repository are ignored: commits have the parents that their ids stand for", what))
	}
	return h, err
}

// begin returns the index of the commit at which a first state is begun.
func (h *history) begin(ctx context.Context, j Job) (int, error) {
	switch {
	case j.From == "":
		return len(h.commits) - 1, nil
	case j.From == Root:
		return 0, nil
	}
	id, err := j.Repo.Resolve(ctx, j.From)
	if err != nil {
		return 0, err
	}
	i, ok := h.at[id]
	if !ok {
		return 0, fmt.Errorf("%w: %q (%.12s) is not on the first-parent history of %.12s", ErrFrom, j.From, id, h.last().ID)
	}
	return i, nil
}
