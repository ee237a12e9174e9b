package dataset

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
)

// ErrUnfinished is returned for a folder that isn't a finished dataset.
var ErrUnfinished = errors.New("not a finished dataset: it has no " + manifestFile)

// Dataset is a folder written by [Mine].
type Dataset struct {
	Manifest Manifest
	dir      string
}

// Open opens a dataset and checks its digest.
func Open(dir string) (*Dataset, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrUnfinished)
	}
	if err != nil {
		return nil, err
	}
	d := &Dataset{dir: dir}
	if err := json.Unmarshal(data, &d.Manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	if d.Manifest.Format != format {
		return nil, fmt.Errorf("dataset %s: format %d, want %d", dir, d.Manifest.Format, format)
	}
	f, err := os.Open(filepath.Join(dir, documentsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != d.Manifest.SHA256 {
		return nil, fmt.Errorf("dataset %s: SHA-256 of %s is %s, the manifest has %s", dir, documentsFile, got, d.Manifest.SHA256)
	}
	return d, nil
}

// Documents yields the documents in order, and ends with the first error.
func (d *Dataset) Documents() iter.Seq2[*Document, error] {
	return func(yield func(*Document, error) bool) {
		n, err := d.each(yield)
		if err == nil && n >= 0 && n != d.Manifest.Documents {
			err = fmt.Errorf("%d documents, the manifest has %d", n, d.Manifest.Documents)
		}
		if err != nil {
			yield(nil, fmt.Errorf("dataset %s: %w", d.dir, err))
		}
	}
}

// each returns the number of documents, or -1 if yield wanted no more.
func (d *Dataset) each(yield func(*Document, error) bool) (int, error) {
	f, err := os.Open(filepath.Join(d.dir, documentsFile))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return 0, err
	}
	dec := json.NewDecoder(zip)
	for n := 0; ; n++ {
		doc := new(Document)
		if err := dec.Decode(doc); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, fmt.Errorf("document %d: %w", n, err)
		}
		if err := doc.Validate(); err != nil {
			return n, err
		}
		if !yield(doc, nil) {
			return -1, nil
		}
	}
}

// All returns all documents.
func (d *Dataset) All() ([]*Document, error) {
	docs := make([]*Document, 0, max(0, min(d.Manifest.Documents, 1<<16)))
	for doc, err := range d.Documents() {
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}
