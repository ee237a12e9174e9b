package repopeft

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/store"
)

// How Parquet files are divided. A row group is held in memory until it is
// written, compressed; a page is what a reader holds of a column, not
// compressed. A page begins with a whole prefix, so pages have to be many times
// as large as these.
const (
	rowGroupBytes = 64 << 20 // of text
	rowGroupRows  = 1 << 15
	pageBytes     = 4 << 20
)

// Writer writes a benchmark to a folder. It replaces a benchmark that is there
// only when [Writer.Close] succeeds, and writes the same bytes for the same
// rows and manifest. Rows stay in the order in which they come; tasks of a file
// should come together and in their order, for only then do their prefixes
// compress well.
//
// It is not for use by several goroutines at once.
type Writer struct {
	dir     string
	tasks   *tableWriter[taskRow]
	commits *tableWriter[commitRow]
	counts  map[key]*Counts
	ids     map[string]bool // of tasks
	commit  map[string]bool // repository, track and id of commits
	err     error           // the first one; nothing is written after it
	done    bool

	released bool // rows are the authors', see [Import]
}

// NewWriter begins a benchmark in a folder, which is made when missing. The
// caller ends it with Close or Discard. What a writer leaves that was killed,
// [store.RemoveTemps] removes.
func NewWriter(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, counts: map[key]*Counts{}, ids: map[string]bool{}, commit: map[string]bool{}}
	var err error
	if w.tasks, err = newTableWriter[taskRow](filepath.Join(dir, tasksFile), "prefix", "suffix", "target"); err != nil {
		return nil, err
	}
	if w.commits, err = newTableWriter[commitRow](filepath.Join(dir, commitsFile), "production_code_diff"); err != nil {
		w.tasks.discard()
		return nil, err
	}
	return w, nil
}

// WriteTask adds a task. It may not be changed while the call runs.
func (w *Writer) WriteTask(t *Task) error {
	return w.write(func() error {
		validate := t.Validate
		if w.released {
			validate = t.validateReleased
		}
		if err := validate(); err != nil {
			return err
		}
		if w.ids[t.ID] {
			return fmt.Errorf("task %s (%s %s line %d) is there already", t.ID, t.Repository, t.File, t.Line)
		}
		w.ids[t.ID] = true
		c := w.count(t.Repository, t.Track)
		c.Tasks++
		c.Kinds[t.Kind]++
		c.InRepo[t.InRepo]++
		return w.tasks.write(rowOfTask(t), len(t.Prefix)+len(t.Suffix)+len(t.Target))
	})
}

// WriteCommit adds a commit.
func (w *Writer) WriteCommit(c *Commit) error {
	return w.write(func() error {
		validate := c.Validate
		if w.released {
			validate = c.validateReleased
		}
		if err := validate(); err != nil {
			return err
		}
		if w.hasCommit(c) {
			return fmt.Errorf("commit %s of %s is there already", c.ID, c.Repository)
		}
		w.commit[c.name()] = true
		w.count(c.Repository, c.Track).Commits++
		return w.commits.write(rowOfCommit(c), len(c.Diff))
	})
}

// hasCommit reports whether a commit has been written.
func (w *Writer) hasCommit(c *Commit) bool { return w.commit[c.name()] }

// name is what a benchmark has a commit by.
func (c *Commit) name() string { return c.Repository + "\x00" + string(c.Track) + "\x00" + c.ID }

// write calls f unless something has failed before.
func (w *Writer) write(f func() error) error {
	if w.done {
		return errors.New("benchmark writer: it is closed")
	}
	if w.err == nil {
		w.err = f()
	}
	return w.err
}

// count returns the counts of a repository in a track.
func (w *Writer) count(repository string, track Track) *Counts {
	k := key{repository, track}
	c := w.counts[k]
	if c == nil {
		c = &Counts{Kinds: map[Kind]int{}, InRepo: map[dataset.Split]int{}}
		w.counts[k] = c
	}
	return c
}

// Close completes the manifest and puts the benchmark in its place. When
// anything has failed, the folder is as it was before.
func (w *Writer) Close(m *Manifest) error {
	defer w.Discard()
	return w.write(func() error {
		if err := m.complete(w.counts); err != nil {
			return err
		}
		m.Format, m.SHA256 = formatVersion, map[string]string{}
		var files []placement
		for _, t := range []interface {
			close() (temp, digest string, err error)
		}{w.tasks, w.commits} {
			temp, digest, err := t.close()
			if err != nil {
				return err
			}
			name := []string{tasksFile, commitsFile}[len(files)]
			m.SHA256[name] = digest
			files = append(files, placement{temp: temp, path: filepath.Join(w.dir, name)})
		}
		data, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
		return place(filepath.Join(w.dir, manifestFile), append(data, '\n'), files)
	})
}

// Discard gives up what has been written. After Close it does nothing.
func (w *Writer) Discard() {
	if !w.done {
		w.done = true
		w.tasks.discard()
		w.commits.discard()
	}
}

// placement is a file that waits to be moved to its path.
type placement struct{ temp, path string }

// place moves files to their paths, and then writes the manifest. In between
// there is no manifest, so that a crash leaves an unfinished folder and not a
// wrong one. If a step fails, those before it are undone.
func place(manifest string, content []byte, files []placement) (err error) {
	var undo []func()
	defer func() {
		for i := len(undo) - 1; i >= 0 && err != nil; i-- {
			undo[i]()
		}
	}()
	var old []string
	aside := func(path string) error {
		away := tempName(path)
		if err := os.Rename(path, away); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		undo = append(undo, func() { os.Rename(away, path) })
		old = append(old, away)
		return nil
	}
	if err := aside(manifest); err != nil {
		return err
	}
	for _, f := range files {
		if err := aside(f.path); err != nil {
			return err
		}
		if err := store.Rename(f.temp, f.path); err != nil {
			return err
		}
		undo = append(undo, func() { os.Remove(f.path) })
	}
	err = store.ReplaceFile(manifest, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range old {
		os.Remove(name) // it takes up space, and that is all
	}
	return nil
}

// tempName returns a name beside path for a temporary file, such as
// [store.RemoveTemps] removes.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp-"+strconv.FormatUint(rand.Uint64(), 36))
}

// tableWriter writes one Parquet file under a temporary name.
type tableWriter[Row any] struct {
	file   *os.File
	digest hash.Hash
	rows   *parquet.GenericWriter[Row]
	row    [1]Row
	n      int // rows in the row group
	bytes  int // of text in the row group
}

// newTableWriter begins a file. Columns named large have no statistics: their
// smallest and largest values are texts, which no reader would look for.
func newTableWriter[Row any](path string, large ...string) (*tableWriter[Row], error) {
	f, err := os.OpenFile(tempName(path), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	t := &tableWriter[Row]{file: f, digest: sha256.New()}
	options := []parquet.WriterOption{
		// The bytes of a file depend on its rows, not on who wrote it.
		parquet.CreatedBy("code2lora", strconv.Itoa(formatVersion), ""),
		parquet.PageBufferSize(pageBytes),
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.KeyValueMetadata("format", "code2lora benchmark "+strconv.Itoa(formatVersion)),
	}
	for _, name := range large {
		options = append(options, parquet.SkipPageBounds(name), parquet.SkipPageStatistics(name))
	}
	t.rows = parquet.NewGenericWriter[Row](io.MultiWriter(f, t.digest), options...)
	return t, nil
}

// write adds a row with a number of bytes of text, and ends the row group when
// it is large enough.
func (t *tableWriter[Row]) write(row Row, bytes int) error {
	t.row[0] = row
	if _, err := t.rows.Write(t.row[:]); err != nil {
		return err
	}
	t.n, t.bytes = t.n+1, t.bytes+bytes
	if t.n < rowGroupRows && t.bytes < rowGroupBytes {
		return nil
	}
	t.n, t.bytes = 0, 0
	return t.rows.Flush()
}

// close ends the file, and returns its temporary name and its SHA-256.
func (t *tableWriter[Row]) close() (temp, digest string, err error) {
	if err := t.rows.Close(); err != nil {
		return "", "", err
	}
	if err := t.file.Sync(); err != nil {
		return "", "", err
	}
	if err := t.file.Close(); err != nil {
		return "", "", err
	}
	return t.file.Name(), hex.EncodeToString(t.digest.Sum(nil)), nil
}

// discard removes the file, unless it has been moved to its place.
func (t *tableWriter[Row]) discard() {
	t.file.Close() // a second close is harmless
	os.Remove(t.file.Name())
}
