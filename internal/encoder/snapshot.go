package encoder

import (
	"context"

	"github.com/code2lora/code2lora/internal/gitrepo"
)

// Filter adds to f which files the encoder wants to know of, if f doesn't say.
func (o *Options) Filter(f gitrepo.Filter) gitrepo.Filter {
	f.SkipTests = f.SkipTests || !o.Tests
	if o.Kind == KindDescription && len(f.Languages) == 0 && len(f.Extensions) == 0 {
		f.Languages, f.Extensions = []string{"python"}, readmeExtensions
		if len(f.Include) == 0 { // a table of data that a partial clone lacks is no reason to fail
			f.Include = []string{"*.py", "[Rr][Ee][Aa][Dd][Mm][Ee].*"}
		}
	}
	return f
}

// FromSnapshot makes a [Source] of a snapshot. In a git repository its Each
// reads whatever blob the repository has, of this snapshot or not.
func FromSnapshot(s *gitrepo.Snapshot) Source { return snapshot{s} }

type snapshot struct{ *gitrepo.Snapshot }

// Blobs implements [Source].
func (s snapshot) Blobs() []Blob {
	blobs := make([]Blob, len(s.Files))
	for i, f := range s.Files {
		blobs[i] = Blob{Path: f.Path, ID: f.BlobID, Size: f.Size}
	}
	return blobs
}

// Each implements [Source].
func (s snapshot) Each(ctx context.Context, blobs []Blob, f func(Blob, []byte) error) error {
	files := make([]gitrepo.File, len(blobs))
	for i, b := range blobs {
		files[i] = gitrepo.File{Path: b.Path, BlobID: b.ID, Size: b.Size}
	}
	return s.Snapshot.Each(ctx, files, func(file gitrepo.File, content []byte) error {
		return f(Blob{Path: file.Path, ID: file.BlobID, Size: file.Size}, content)
	})
}
