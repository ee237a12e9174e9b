package catalog

import (
	"context"

	"github.com/code2lora/code2lora/internal/hub"
)

// ref names the file of a source on the hub, expecting nothing of it yet.
func (s *HubSource) ref() hub.Ref {
	return hub.Ref{Repo: s.Repo, Revision: s.Revision, Path: s.File}
}

// hubCached returns the file of a source if some tool has put it into the hub's
// cache.
func hubCached(s *HubSource) (string, bool) {
	c, err := hub.FromEnv()
	if err != nil {
		return "", false // reported when the hub is needed
	}
	return c.Cached(s.ref())
}

// pullHub gets the model from the hub. [Path] has not found it, so what the
// cache may have under that name is not used unseen.
func (m Model) pullHub(ctx context.Context, s *HubSource, opt Options) (string, error) {
	c, err := hub.FromEnv()
	if err != nil {
		return "", err
	}
	ref := s.ref()
	ref.SHA256 = m.SHA256
	report := m.report(opt, "hub "+s.Repo)
	path, err := c.Fetch(ctx, ref, func(done, _ int64) { report(done) })
	if err != nil {
		return "", err
	}
	m.stamp(path)
	return path, nil
}
