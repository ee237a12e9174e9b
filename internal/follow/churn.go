package follow

import (
	"context"
	"errors"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// churn estimates the drift of a state from sizes alone.
type churn struct {
	repo  *gitrepo.Repo
	sizes *gitrepo.Sizes
	skip  func(path string, size int64) gitrepo.Reason
}

// sources are the files that count: those that encoders read by default.
var sources = gitrepo.Filter{SkipTests: true}

func (c *churn) close() {
	if c.sizes != nil {
		c.sizes.Close()
		c.sizes = nil
	}
}

// total returns the bytes of all sources at a commit.
func (c *churn) total(ctx context.Context, commit string) (float64, error) {
	s, err := c.repo.Snapshot(ctx, commit, sources)
	if err != nil {
		return 0, err
	}
	var n float64
	for _, f := range s.Files {
		n += float64(f.Size)
	}
	return n, nil
}

// add returns the notes of a commit from those of its parent.
func (c *churn) add(ctx context.Context, notes map[string]float64, changes []gitrepo.Change) (map[string]float64, error) {
	var changed, grown float64
	for _, ch := range changes {
		before, err := c.size(ctx, ch.OldBlob, oldPath(ch))
		if err != nil {
			return nil, err
		}
		var after float64
		if ch.Regular() {
			if after, err = c.size(ctx, ch.Blob, ch.Path); err != nil {
				return nil, err
			}
		}
		if ch.Status == 'C' { // the original stays
			before = 0
		}
		grown += after - before
		if ch.Blob != ch.OldBlob {
			changed += max(after, before)
		}
	}
	bytes := max(0, notes[noteBytes]+grown)
	add := 0.0
	if changed > 0 {
		add = changed / max(bytes, notes[noteBytes], 1)
	}
	return map[string]float64{noteBytes: bytes, noteChurn: notes[noteChurn] + add}, nil
}

func oldPath(c gitrepo.Change) string {
	if c.From != "" {
		return c.From
	}
	return c.Path
}

// size returns the size of a blob that is a source, and 0 of everything else: of
// a submodule, of no source, and of what this clone lacks.
func (c *churn) size(ctx context.Context, blob, path string) (float64, error) {
	if c.sizes == nil {
		var err error
		if c.skip, err = sources.Compile(); err != nil {
			return 0, err
		}
		if c.sizes, err = c.repo.Sizes(ctx); err != nil {
			return 0, err
		}
	}
	if blob == "" || c.skip(path, 1) != "" { // whatever its size
		return 0, nil
	}
	n, err := c.sizes.Of(blob)
	if errors.Is(err, gitrepo.ErrMissingObject) {
		return 0, nil
	}
	if err != nil || c.skip(path, n) != "" {
		return 0, err
	}
	return float64(n), nil
}
