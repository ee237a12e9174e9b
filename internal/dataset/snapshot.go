package dataset

import (
	"context"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// FromSnapshot makes a source of a repository's snapshot. name is owner/name,
// which the snapshot's repository needn't know. The snapshot's filter must not
// have left out the tests.
func FromSnapshot(name string, s *gitrepo.Snapshot) Source {
	return snapshot{name, s}
}

type snapshot struct {
	name string
	snap *gitrepo.Snapshot
}

func (s snapshot) Name() string   { return s.name }
func (s snapshot) Commit() string { return s.snap.Commit }

// Each reads the test files only.
func (s snapshot) Each(ctx context.Context, visit func(path string, content []byte) error) error {
	var tests []gitrepo.File
	for _, f := range s.snap.Files {
		if IsTestFile(f.Path) {
			tests = append(tests, f)
		}
	}
	return s.snap.Each(ctx, tests, func(f gitrepo.File, text []byte) error {
		return visit(f.Path, text)
	})
}
