package dataset

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/store"
)

// The files of a dataset, and the version of their format.
const (
	documentsFile = "documents.jsonl.gz"
	manifestFile  = "manifest.json"
	format        = 1
)

// Source is a repository at a commit.
type Source interface {
	Name() string   // owner/name
	Commit() string // the commit's full id
	// Each calls visit with at least every file for which [IsTestFile] holds, in
	// any order.
	// It ends with the first error of visit. content is valid during the call.
	Each(ctx context.Context, visit func(path string, content []byte) error) error
}

// RepositoryStats counts what was mined from a repository.
type RepositoryStats struct {
	Name      string `json:"name"`
	Commit    string `json:"commit"`
	Split     Split  `json:"split"`
	Documents int    `json:"documents"`
	Stats
}

// Manifest describes a finished dataset.
type Manifest struct {
	Format       int               `json:"format"`
	Options      Options           `json:"options"`
	Documents    int               `json:"documents"`
	Tasks        int               `json:"tasks"`
	SHA256       string            `json:"sha256"` // of documents.jsonl.gz
	Repositories []RepositoryStats `json:"repositories"`
}

// Mine writes the dataset of some repositories to the folder dir, and replaces
// one that is there. report, which may be nil, is called after each repository.
// A file that several repositories have is taken from the first by name.
func Mine(ctx context.Context, dir string, sources []Source, o Options, report func(RepositoryStats)) (*Manifest, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	sources = slices.Clone(sources)
	slices.SortFunc(sources, func(a, b Source) int { return strings.Compare(a.Name(), b.Name()) })
	for i, s := range sources {
		if split := SplitOf(s.Name()); o.Split != "" && split != o.Split {
			if err := CheckTraining(s.Name(), o.Split); err != nil {
				return nil, err
			}
		}
		if i > 0 && sources[i-1].Name() == s.Name() {
			return nil, fmt.Errorf("repository %s is given twice", s.Name())
		}
	}
	// From here on the folder is unfinished.
	if err := os.Remove(filepath.Join(dir, manifestFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	m := &Manifest{Format: format, Options: o}
	digest := sha256.New()
	err := store.WriteFile(filepath.Join(dir, documentsFile), func(w io.Writer) error {
		zip := gzip.NewWriter(io.MultiWriter(w, digest))
		if err := m.mine(ctx, zip, sources, report); err != nil {
			return err
		}
		return zip.Close()
	})
	if err != nil {
		return nil, fmt.Errorf("mining: %w", err)
	}
	m.SHA256 = hex.EncodeToString(digest.Sum(nil))
	err = store.WriteFile(filepath.Join(dir, manifestFile), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(m)
	})
	return m, err
}

// mine writes the documents of all sources, and counts them.
func (m *Manifest) mine(ctx context.Context, w io.Writer, sources []Source, report func(RepositoryStats)) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	seen := map[[sha256.Size]byte]bool{}
	for _, s := range sources {
		docs, stats, err := m.Options.repository(ctx, s, seen)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
		r := RepositoryStats{Name: s.Name(), Commit: s.Commit(), Split: SplitOf(s.Name()), Documents: len(docs), Stats: stats}
		for _, d := range docs {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		m.Repositories = append(m.Repositories, r)
		m.Documents += r.Documents
		m.Tasks += r.Tasks
		if report != nil {
			report(r)
		}
	}
	return nil
}

// repository returns the documents of one repository, sorted by path.
func (o Options) repository(ctx context.Context, s Source, seen map[[sha256.Size]byte]bool) ([]*Document, Stats, error) {
	var stats Stats
	var docs []*Document
	err := s.Each(ctx, func(path string, content []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !IsTestFile(cleanPath(path)) {
			return nil
		}
		doc, fileStats := o.document(path, content)
		doc.Repository, doc.Commit = s.Name(), s.Commit()
		stats.Add(fileStats)
		if len(doc.Tasks) > 0 {
			docs = append(docs, doc)
		}
		return nil
	})
	if err != nil {
		return nil, stats, err
	}
	slices.SortFunc(docs, func(a, b *Document) int { return strings.Compare(a.File, b.File) })
	docs = slices.DeleteFunc(docs, func(d *Document) bool {
		sum := sha256.Sum256([]byte(d.Text))
		if seen[sum] {
			stats.drop(DuplicateFile, len(d.Tasks))
			return true
		}
		seen[sum] = true
		return false
	})
	docs = o.selectInRepository(docs, &stats)
	stats.Tasks = 0
	for _, d := range docs {
		stats.Tasks += len(d.Tasks)
	}
	return docs, stats, nil
}
