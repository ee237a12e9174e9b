package disclosure

import (
	"context"
	"crypto/sha256"
	"path"
	"strings"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/lru"
)

// DefaultCacheBytes bounds a cache that isn't told otherwise: the sources of
// several repositories of the usual size.
const DefaultCacheBytes = 128 << 20

// Cache keeps contents and what was found out about them by blob id, over
// commits, levels and repositories. Its methods may be called concurrently.
type Cache struct {
	texts *lru.Cache[string, []byte]
	facts *lru.Cache[string, *facts]
}

// NewCache returns a cache of at most so many bytes; 0 is [DefaultCacheBytes],
// less keeps nothing.
func NewCache(bytes int64) *Cache {
	if bytes == 0 {
		bytes = DefaultCacheBytes
	}
	return &Cache{texts: lru.New[string, []byte](bytes / 2), facts: lru.New[string, *facts](bytes - bytes/2)}
}

// facts are what a Repository must know of a file's content.
type facts struct {
	unfit    bool              // binary, generated, or not in a known encoding
	test     bool              // see isTestContent
	sum      [sha256.Size]byte // of the text
	shingles []uint32          // see shingles
}

func newFacts(name string, text []byte) *facts {
	language := gitrepo.Language(name)
	return &facts{
		test:     language == "python" && isTestContent(text),
		sum:      sha256.Sum256(text),
		shingles: shingles(text, language),
	}
}

// bytes is what facts cost to keep.
func (f *facts) bytes() int64 { return int64(4*len(f.shingles)) + 200 }

// factsKey is the key of facts and text: what is a comment, and how content is
// judged, depends on the language.
func factsKey(name, id string) string { return strings.ToLower(path.Ext(name)) + " " + id }

func (c *Cache) text(name, id string) ([]byte, bool) { return c.texts.Get(factsKey(name, id)) }

func (c *Cache) keepText(name, id string, text []byte) {
	c.texts.Put(factsKey(name, id), text, int64(len(text))+200)
}

// learn returns the facts of files, which it reads through a snapshot where they
// are not known. Files that [gitrepo.Snapshot.Each] leaves out are unfit.
func (c *Cache) learn(ctx context.Context, s *gitrepo.Snapshot, files []gitrepo.File) (map[string]*facts, error) {
	known := make(map[string]*facts, len(files))
	var missing []gitrepo.File
	for _, f := range files {
		key := factsKey(f.Path, f.BlobID)
		if _, seen := known[key]; seen {
			continue
		}
		if facts, ok := c.facts.Get(key); ok {
			known[key] = facts
			continue
		}
		known[key] = &facts{unfit: true}
		missing = append(missing, f)
	}
	err := s.Each(ctx, missing, func(f gitrepo.File, text []byte) error {
		known[factsKey(f.Path, f.BlobID)] = newFacts(f.Path, text)
		c.keepText(f.Path, f.BlobID, text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range missing {
		key := factsKey(f.Path, f.BlobID)
		c.facts.Put(key, known[key], known[key].bytes())
	}
	return known, nil
}
