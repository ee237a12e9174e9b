package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cache maps keys to immutable data in a folder. Several goroutines and
// processes may use the same folder at once; whoever puts last wins.
//
// An entry is the file ab/cdef…, named by the SHA-256 of its key:
//
//	magic   8 bytes, "c2lcach1"
//	nkey    uint32, little-endian
//	ndata   uint64, little-endian
//	key     nkey bytes
//	data    ndata bytes
//	sum     SHA-256 of all that precedes
//
// An entry that is damaged in any way counts as missing. That is why entries
// are not synced to disk, which would cost more than the data are worth.
type Cache struct{ dir string }

const (
	cacheMagic  = "c2lcach1"
	cacheHeader = 8 + 4 + 8
)

// touchAfter is how old an entry's time of last use must be before [Cache.Get]
// renews it; finer would cost a write for each read.
const touchAfter = time.Hour

// staleTemp is the age at which a temporary file must belong to a process that
// was killed.
const staleTemp = 24 * time.Hour

// Open returns the cache in the folder dir, making it when missing.
func Open(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return &Cache{dir: dir}, nil
}

func (c *Cache) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(c.dir, name[:2], name[2:])
}

// Get returns a fresh copy of the data put under key, and whether there was an
// intact entry. The error is for reads that failed, not for missing entries.
func (c *Cache) Get(key string) (data []byte, ok bool, err error) {
	path := c.path(key)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	data, ok = decodeEntry(raw, key)
	if !ok {
		return nil, false, nil
	}
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > touchAfter {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // only steers Prune; a read-only cache still serves
	}
	return data, true, nil
}

// Put stores data under key, replacing what was there.
func (c *Cache) Put(key string, data []byte) error {
	if uint64(len(key)) > 1<<20 {
		return fmt.Errorf("cache key of %d bytes: at most %d", len(key), 1<<20)
	}
	path := c.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return replaceFile(path, false, func(w io.Writer) error {
		h := sha256.New()
		both := io.MultiWriter(w, h)
		for _, b := range [][]byte{encodeHeader(key, len(data)), []byte(key), data} {
			if _, err := both.Write(b); err != nil {
				return err
			}
		}
		_, err := w.Write(h.Sum(nil))
		return err
	})
}

func encodeHeader(key string, n int) []byte {
	b := append(make([]byte, 0, cacheHeader), cacheMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	return binary.LittleEndian.AppendUint64(b, uint64(n))
}

// decodeEntry returns the data of an entry; ok is false unless every byte is as
// Put wrote it for this key.
func decodeEntry(raw []byte, key string) (data []byte, ok bool) {
	if len(raw) < cacheHeader+sha256.Size || string(raw[:8]) != cacheMagic {
		return nil, false
	}
	body, sum := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	nkey := uint64(binary.LittleEndian.Uint32(body[8:]))
	ndata := binary.LittleEndian.Uint64(body[12:])
	rest := body[cacheHeader:]
	if nkey != uint64(len(key)) || uint64(len(rest)) < nkey || ndata != uint64(len(rest))-nkey {
		return nil, false
	}
	if string(rest[:nkey]) != key {
		return nil, false
	}
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, false
	}
	return rest[nkey:], true
}

// Size returns how many bytes the entries take.
func (c *Cache) Size() (total int64, err error) {
	entries, err := c.entries()
	for _, e := range entries {
		total += e.size
	}
	return total, err
}

// Prune removes the entries that were used longest ago, until the rest takes at
// most maxBytes, and the leftovers of processes that were killed. It returns
// how many entries it removed, and their bytes. Entries in use stay readable by
// those who have them open.
func (c *Cache) Prune(maxBytes int64) (removed int, freed int64, err error) {
	entries, err := c.entries()
	if err != nil {
		return 0, 0, err
	}
	var total int64
	for _, e := range entries {
		total += e.size
	}
	slices.SortFunc(entries, func(a, b cacheEntry) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	for _, e := range entries {
		if total <= maxBytes {
			break
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, freed, err
		}
		total -= e.size
		freed += e.size
		removed++
	}
	return removed, freed, nil
}

type cacheEntry struct {
	path string
	size int64
	used time.Time
}

// entries lists the cache, and removes stale temporary files on its way.
func (c *Cache) entries() ([]cacheEntry, error) {
	var list []cacheEntry
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != c.dir {
			return nil // removed meanwhile by another process
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if strings.Contains(d.Name(), tempInfix) {
			if time.Since(info.ModTime()) > staleTemp {
				_ = os.Remove(path) // another process may have been faster
			}
			return nil
		}
		list = append(list, cacheEntry{path, info.Size(), info.ModTime()})
		return nil
	})
	return list, err
}
