package encoder_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

func tiny(t *testing.T) (*model.Model, *tokenizer.Tokenizer) {
	t.Helper()
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, tok
}

// tree is a Source of files in memory, by path. Reading a path in forbidden is
// an error; reversed gives the blobs in the opposite order.
type tree struct {
	files     map[string]string
	reversed  bool
	forbidden map[string]bool
	read      []string
}

func (s *tree) Blobs() []encoder.Blob {
	var blobs []encoder.Blob
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		id := sha1.Sum([]byte(s.files[path]))
		blobs = append(blobs, encoder.Blob{Path: path, ID: hex.EncodeToString(id[:]), Size: int64(len(s.files[path]))})
	}
	if s.reversed {
		slices.Reverse(blobs)
	}
	return blobs
}

var errForbidden = errors.New("read what was known")

func (s *tree) Each(_ context.Context, blobs []encoder.Blob, f func(encoder.Blob, []byte) error) error {
	blobs = slices.Clone(blobs)
	if s.reversed {
		slices.Reverse(blobs)
	}
	for _, b := range blobs {
		if s.forbidden[b.Path] {
			return fmt.Errorf("%s: %w", b.Path, errForbidden)
		}
		s.read = append(s.read, b.Path)
		if err := f(b, []byte(s.files[b.Path])); err != nil {
			return err
		}
	}
	return nil
}

// sources has files of many lengths: longer than a batch, shorter than a
// window, and too short for anything.
func sources() map[string]string {
	files := map[string]string{
		"empty.py": "", "short.py": "x = 1\n", "unicode.py": "name = 'ünïcode' # ☃ of snow, and more of it\n",
	}
	for i := range 6 {
		files[fmt.Sprintf("pkg/m%d.py", i)] = strings.Repeat(fmt.Sprintf("def f%d(a, b%d):\n    return a * %d + b%d\n\n", i, i, i*i, i), 1+i*i)
	}
	return files
}

// memory is a Cache.
type memory struct {
	data       map[string][]byte
	hits, puts int
	err        error
}

func newMemory() *memory { return &memory{data: map[string][]byte{}} }

func (c *memory) Get(key string) ([]byte, bool, error) {
	if c.err != nil {
		return nil, false, c.err
	}
	data, ok := c.data[key]
	if ok {
		c.hits++
	}
	return data, ok, nil
}

func (c *memory) Put(key string, data []byte) error {
	c.puts++
	c.data[key] = slices.Clone(data)
	return c.err
}

// hiddenOptions are small enough for tiny files.
func hiddenOptions() encoder.Options {
	return encoder.Options{Kind: encoder.KindHidden, Base: "b179", Layer: 2, Chunk: 32, Overlap: 8, Min: 6}
}

func newEncoder(t *testing.T, o encoder.Options, c encoder.Cache) encoder.Encoder {
	t.Helper()
	m, tok := tiny(t)
	e, err := encoder.New(o, m, tok, c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encode(t *testing.T, e encoder.Encoder, s encoder.Source) *embedding.Representation {
	t.Helper()
	r, err := e.Encode(context.Background(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
