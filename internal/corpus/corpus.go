// Package corpus has the tasks that something is trained or tuned on, in the
// files that they are in: those of mined datasets, and those of a benchmark. All
// who train get the same text from here, so that they differ in what they do with
// it alone.
package corpus

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Corpus has the tasks of repositories, in the files that they are in.
type Corpus struct {
	repositories map[string]*repository
	tracks       map[repopeft.Track]bool // of the tasks of benchmarks
	digest       hash.Hash
}

type repository struct {
	commit    string // of its last document
	documents []labelled
	withheld  map[string][]withheld // by how their statements begin
}

// labelled is a document with the in-repository part of each of its tasks.
type labelled struct {
	*dataset.Document
	parts []dataset.Split
}

// New returns an empty corpus.
func New() *Corpus {
	c := &Corpus{repositories: map[string]*repository{}, tracks: map[repopeft.Track]bool{}, digest: sha256.New()}
	fmt.Fprint(c.digest, "2\x00") // 1 had the text of tasks that are withheld
	return c
}

// Digest identifies what has been added, in its order.
func (c *Corpus) Digest() string { return hex.EncodeToString(c.digest.Sum(nil)) }

// Repositories returns the names of all repositories, sorted.
func (c *Corpus) Repositories() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.repositories)), func(name string) bool { return len(c.repositories[name].documents) == 0 })
}

// Tracks returns the tracks of the tasks that are of benchmarks, sorted.
func (c *Corpus) Tracks() []repopeft.Track { return slices.Sorted(maps.Keys(c.tracks)) }

// Commit is the one that a repository's tasks are from, the last of several.
func (c *Corpus) Commit(repository string) string {
	if r := c.repositories[repository]; r != nil {
		return r.commit
	}
	return ""
}

// Documents returns the files of a repository in which tasks of the given
// in-repository parts are marked, and no others; without parts, all tasks.
//
// With parts, nothing of a later one is in the text: what is trained on has no
// task of validation or test, and what is chosen by has none of test. Their test
// functions are left out, and from a function that has tasks of both sides, or
// that cannot be told from what is around it, the lines of theirs.
func (c *Corpus) Documents(repository string, parts ...dataset.Split) []*dataset.Document {
	r := c.repositories[repository]
	if r == nil {
		return nil
	}
	last := order[dataset.Test]
	if len(parts) > 0 {
		last = order[slices.MaxFunc(parts, func(a, b dataset.Split) int { return order[a] - order[b] })]
	}
	var docs []*dataset.Document
	for _, l := range r.documents {
		var tasks []dataset.Target
		for i, t := range l.Tasks {
			if len(parts) == 0 || slices.Contains(parts, l.parts[i]) {
				tasks = append(tasks, t)
			}
		}
		if len(tasks) == 0 {
			continue
		}
		if doc := r.without(l, tasks, last); len(doc.Tasks) > 0 {
			docs = append(docs, doc)
		}
	}
	return docs
}

// repository returns that of a name, a new one if need be.
func (c *Corpus) repository(name string) *repository {
	r := c.repositories[name]
	if r == nil {
		r = &repository{}
		c.repositories[name] = r
	}
	return r
}

// Some orders documents by a digest of their names, so that which of them come
// first depends on the names alone, and of these takes as many as have most tasks
// (0: all). The last may lose some of its tasks.
func Some(docs []*dataset.Document, most int) []*dataset.Document {
	docs = slices.Clone(docs)
	slices.SortStableFunc(docs, func(a, b *dataset.Document) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.File, b.File))
	})
	if most == 0 {
		return docs
	}
	for i, d := range docs {
		if len(d.Tasks) >= most {
			last := *d
			last.Tasks = last.Tasks[:most]
			docs[i] = &last
			return docs[:i+1]
		}
		most -= len(d.Tasks)
	}
	return docs
}

// rank looks random and depends on a document's name alone.
func rank(d *dataset.Document) uint64 {
	sum := sha256.Sum256([]byte("tune " + d.Repository + "/" + d.File))
	return binary.BigEndian.Uint64(sum[:])
}

// Parse reads labels, each of which must be one of some.
func Parse[T ~string](what string, labels []string, some ...T) (list []T, err error) {
	for _, l := range labels {
		if !slices.Contains(some, T(l)) {
			return nil, fmt.Errorf("%s: %q: want one of %q", what, l, some)
		}
		list = append(list, T(l))
	}
	return list, nil
}

// Add takes a document with the part of each of its tasks, "" for that of
// [dataset.InRepoSplitOf].
func (c *Corpus) Add(doc *dataset.Document, parts []dataset.Split) error {
	if err := doc.Validate(); err != nil {
		return err
	}
	if len(parts) != len(doc.Tasks) {
		return fmt.Errorf("%s %s: parts of %d tasks, of which there are %d", doc.Repository, doc.File, len(parts), len(doc.Tasks))
	}
	for i, t := range doc.Tasks {
		switch parts[i] {
		case dataset.Train, dataset.Validation, dataset.Test:
		case "":
			parts[i] = dataset.InRepoSplitOf(doc.Repository, doc.File, t.Class, t.Function)
		default:
			return fmt.Errorf("%s %s line %d: in-repository split %q: want %s, %s or %s", doc.Repository, doc.File, t.Line, parts[i],
				dataset.Train, dataset.Validation, dataset.Test)
		}
		fmt.Fprintf(c.digest, "%d %d %s\x00", t.Start, t.End, parts[i])
		c.withhold(doc.Repository, doc.File, doc.Text, t, parts[i])
	}
	fmt.Fprintf(c.digest, "%s\x00%s\x00%s\x00%d\x00%s", doc.Repository, doc.Commit, doc.File, len(doc.Text), doc.Text)
	r := c.repository(doc.Repository)
	r.commit, r.documents = doc.Commit, append(r.documents, labelled{doc, parts})
	return nil
}

// AddDataset adds the documents of a mined folder, divided by [dataset.InRepoSplitOf]. Test
// repositories are left out unless withTest.
func (c *Corpus) AddDataset(ds *dataset.Dataset, withTest bool) error {
	for doc, err := range ds.Documents() {
		if err != nil {
			return err
		}
		if !withTest && dataset.SplitOf(doc.Repository) == dataset.Test {
			continue
		}
		if err := c.Add(doc, make([]dataset.Split, len(doc.Tasks))); err != nil {
			return err
		}
	}
	return nil
}

// AddFolder adds a folder: a dataset, or of a benchmark the tasks that a filter
// selects. Test repositories are left out unless withTest.
func (c *Corpus) AddFolder(dir string, filter repopeft.Filter, withTest bool) error {
	if _, err := os.Stat(filepath.Join(dir, "tasks.parquet")); err == nil {
		b, err := repopeft.Open(dir)
		if err != nil {
			return err
		}
		if !withTest {
			filter.Splits = []dataset.Split{dataset.Train, dataset.Validation}
		}
		return c.AddBenchmark(b, filter, withTest)
	}
	ds, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	return c.AddDataset(ds, withTest)
}

// AddBenchmark adds the tasks of a benchmark that a filter selects, and withholds
// those of other kinds and tracks, which stand in the same files.
func (c *Corpus) AddBenchmark(b *repopeft.Benchmark, filter repopeft.Filter, withTest bool) error {
	others := repopeft.Filter{Splits: filter.Splits, Repositories: filter.Repositories, InRepo: []dataset.Split{dataset.Validation, dataset.Test}}
	for t, err := range b.Tasks(others) {
		if err != nil {
			return err
		}
		c.Withhold(t)
	}
	return c.AddTasks(b.Tasks(filter), withTest)
}

// AddTasks adds tasks of a benchmark. Those of one file whose prefixes continue
// each other make one document, whatever layout their profile gives a prefix, if
// they come one after the other. Test repositories are left out unless withTest.
func (c *Corpus) AddTasks(tasks iter.Seq2[*repopeft.Task, error], withTest bool) error {
	type file struct{ repository, commit, path string }
	var at file
	var held []*repopeft.Task
	flush := func() error {
		for _, chain := range chains(held) {
			doc, parts := join(chain)
			if err := c.Add(doc, parts); err != nil {
				return err
			}
		}
		held = nil
		return nil
	}
	for t, err := range tasks {
		if err != nil {
			return err
		}
		if t.Prefix == "" {
			continue // nothing comes before the target
		}
		if !withTest && dataset.SplitOf(t.Repository) == dataset.Test {
			continue
		}
		if f := (file{t.Repository, t.Commit, t.File}); f != at {
			if err := flush(); err != nil {
				return err
			}
			at = f
		}
		c.tracks[t.Track] = true
		held = append(held, t)
	}
	return flush()
}

// chains groups the tasks of a file: in each, a prefix begins with the prefix
// and the target before it.
func chains(tasks []*repopeft.Task) (all [][]*repopeft.Task) {
	slices.SortStableFunc(tasks, func(a, b *repopeft.Task) int { return len(a.Prefix) - len(b.Prefix) })
	for _, t := range tasks {
		i := slices.IndexFunc(all, func(chain []*repopeft.Task) bool {
			last := chain[len(chain)-1]
			return last.Kind == t.Kind && strings.HasPrefix(t.Prefix, last.Prefix) && strings.HasPrefix(t.Prefix[len(last.Prefix):], last.Target)
		})
		if i < 0 {
			all = append(all, []*repopeft.Task{t})
			continue
		}
		all[i] = append(all[i], t)
	}
	return all
}

// join makes a document of a chain. It ends with what follows the last target
// in its line, so that leaving it can be learned.
func join(chain []*repopeft.Task) (*dataset.Document, []dataset.Split) {
	last := chain[len(chain)-1]
	rest, _, _ := strings.Cut(last.Suffix, "\n")
	if last.Suffix == "" && last.Kind == repopeft.Call {
		rest = "" // it may go on in any way
	} else {
		rest += "\n"
	}
	doc := &dataset.Document{Repository: last.Repository, Commit: last.Commit, File: last.File, Text: last.Prefix + last.Target + rest}
	var parts []dataset.Split
	for _, t := range chain {
		doc.Tasks = append(doc.Tasks, dataset.Target{Span: dataset.Span{Start: len(t.Prefix), End: len(t.Prefix) + len(t.Target)},
			Line: t.Line, Function: t.Function, Class: t.Class, Kind: string(t.Kind)})
		parts = append(parts, t.InRepo)
	}
	return doc, parts
}
