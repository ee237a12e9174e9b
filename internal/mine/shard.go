package mine

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/store"
)

// What is mined from a repository is kept in a shard, so that a run that was
// interrupted goes on, and new commits cost themselves only. A shard is two files:
//
//	NAME.jsonl.gz   records, a line each: a commit, then its documents
//	NAME.json       the [state] they belong to; written behind them
//
// The records end where the state says; what is behind was written by a run that
// didn't get to its state, and is cut off.

// record is a line of a shard: one of the two.
type record struct {
	Commit   *commit   `json:"commit,omitempty"`
	Document *document `json:"document,omitempty"`
}

// commit is a kept commit; in the static track, the snapshot.
type commit struct {
	ID       string `json:"id"`
	Parent   string `json:"parent,omitempty"`
	Time     string `json:"time,omitempty"` // RFC 3339
	Unix     int64  `json:"unix,omitempty"`
	Diff     string `json:"diff,omitempty"`
	Added    int    `json:"added,omitempty"`
	Modified int    `json:"modified,omitempty"`
}

// document is a version of a file, with its tasks in the order of their profile.
type document struct {
	File     string `json:"file"`
	Language string `json:"language"`
	Blob     string `json:"blob"`
	Text     string `json:"text"`
	Items    []item `json:"items"`
}

// state is what a shard has been mined from.
type state struct {
	Repository string  `json:"repository"`
	Rules      string  `json:"rules"` // digest
	Commit     string  `json:"commit"`
	Bytes      int64   `json:"bytes"` // of the records
	Dropped    counter `json:"dropped"`
	Skipped    counter `json:"skipped"` // files and commits

	// Of the evolution track, to go on with the next commit.
	Kept     []int64              `json:"kept,omitempty"`      // times of the kept commits, in seconds since 1970
	KeptTree string               `json:"kept_tree,omitempty"` // of the last kept commit
	Tests    string               `json:"tests,omitempty"`     // digest of the paper's list of test files
	Files    map[string]*fileKeys `json:"files,omitempty"`
	Finished bool                 `json:"finished"`
}

// shardPath returns the path of a shard's records.
func shardPath(dir string, parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, "/", "+")
	}
	return filepath.Join(dir, strings.Join(parts, "-")+".jsonl.gz")
}

func statePath(shard string) string { return strings.TrimSuffix(shard, "l.gz") }

// readState returns the state of a shard, or nil without one, or if it is of
// something else than expected.
func readState(shard, repository, rules string) (*state, error) {
	data, err := os.ReadFile(statePath(shard))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil || s.Repository != repository || s.Rules != rules {
		return nil, nil // damaged or foreign: mined again
	}
	info, err := os.Stat(shard)
	if err != nil || info.Size() < s.Bytes {
		return nil, nil
	}
	if s.Dropped == nil {
		s.Dropped = counter{}
	}
	if s.Skipped == nil {
		s.Skipped = counter{}
	}
	return &s, nil
}

// shardWriter appends records to a shard.
type shardWriter struct {
	path string
	file *os.File
	zip  *gzip.Writer
	enc  *json.Encoder
}

// appendShard opens a shard behind its first size bytes.
func appendShard(path string, size int64) (*shardWriter, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(size)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	w := &shardWriter{path: path, file: f}
	w.zip, err = gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		f.Close()
		return nil, err
	}
	w.enc = json.NewEncoder(w.zip)
	w.enc.SetEscapeHTML(false)
	return w, nil
}

func (w *shardWriter) write(r record) error { return w.enc.Encode(r) }

// save ends a part of the records, and writes the state that belongs to them.
func (w *shardWriter) save(s *state) error {
	if err := w.zip.Close(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	at, err := w.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	s.Bytes = at
	w.zip.Reset(w.file)
	return store.WriteFile(statePath(w.path), func(out io.Writer) error { return json.NewEncoder(out).Encode(s) })
}

func (w *shardWriter) close() error { return w.file.Close() }

// readShard passes the commits of a shard to fn, each with its documents.
func readShard(path string, size int64, fn func(*commit, []*document) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if size == 0 {
		return nil
	}
	zip, err := gzip.NewReader(bufio.NewReaderSize(io.LimitReader(f, size), 1<<16))
	if err != nil {
		return damaged(path, err)
	}
	dec := json.NewDecoder(zip)
	var c *commit
	var docs []*document
	for {
		var r record
		err := dec.Decode(&r)
		if err != nil && err != io.EOF {
			return damaged(path, err)
		}
		if c != nil && (err == io.EOF || r.Commit != nil) {
			if ferr := fn(c, docs); ferr != nil {
				return ferr
			}
			docs = nil
		}
		if err == io.EOF {
			return nil
		}
		if r.Commit != nil {
			c = r.Commit
		} else if r.Document != nil {
			if err := r.Document.check(); err != nil {
				return damaged(path, err)
			}
			docs = append(docs, r.Document)
		}
	}
}

// check reports what makes a document unusable, in a shard that somebody has
// edited, say.
func (d *document) check() error {
	if _, err := blobHash(d.Blob); err != nil {
		return fmt.Errorf("file %q: %w", d.File, err)
	}
	for i := range d.Items {
		it := &d.Items[i]
		if it.Start < 0 || it.End < it.Start || it.End > len(d.Text) || it.Cut < 0 || it.Cut > len(d.Text) {
			return fmt.Errorf("file %q: task at %d..%d (cut at %d) of a text of %d bytes", d.File, it.Start, it.End, it.Cut, len(d.Text))
		}
	}
	return nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("%s is damaged (remove it, and it will be mined again): %w", path, err)
}

// shard is a mined shard.
type shard struct {
	path  string
	state *state
}

func (s *shard) each(fn func(*commit, []*document) error) error {
	return readShard(s.path, s.state.Bytes, fn)
}

// dropFile counts a file, or a version of one, that could not be used.
func (s *state) dropFile(r dataset.Reason) { s.Skipped.add(r, 1) }
