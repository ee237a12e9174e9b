package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func openCache(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCache(t *testing.T) {
	c := openCache(t)
	for key, data := range map[string][]byte{
		"a": []byte("data"), "": []byte("empty key"), "empty": nil, "../../x": {1}, "big": make([]byte, 1<<20), "a\x00b": {2},
	} {
		if _, ok, err := c.Get(key); ok || err != nil {
			t.Errorf("%q before Put: got %v, %v, want false", key, ok, err)
		}
		for _, d := range [][]byte{[]byte("older"), data} {
			if err := c.Put(key, d); err != nil {
				t.Fatal(err)
			}
		}
		if got, ok, err := c.Get(key); !ok || err != nil || !bytes.Equal(got, data) {
			t.Errorf("%q: got %d bytes, %v, %v, want %d", key, len(got), ok, err, len(data))
		}
	}
	again, err := Open(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok, _ := again.Get("a"); !ok || string(got) != "data" {
		t.Errorf("after reopening: got %q, %v", got, ok)
	}
}

// Every way to damage an entry by one byte or one cut makes it missing.
func TestCacheDamage(t *testing.T) {
	c := openCache(t)
	if err := c.Put("key", []byte("some data")); err != nil {
		t.Fatal(err)
	}
	path := c.path("key")
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := c.Get("key"); ok || err != nil {
			t.Errorf("%s: got %q, %v, %v, want missing", what, got, ok, err)
		}
	}
	for i := range intact {
		raw := bytes.Clone(intact)
		raw[i] ^= 0x10
		check(fmt.Sprintf("byte %d", i), raw)
		check(fmt.Sprintf("cut at %d", i), intact[:i])
	}
	check("longer", append(bytes.Clone(intact), 0))
	if err := c.Put("yek", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.path("yek"), path); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.Get("key"); ok || err != nil {
		t.Errorf("entry of another key: got %v, %v, want missing", ok, err)
	}
	if err := c.Put("key", []byte("repaired")); err != nil {
		t.Fatal(err)
	}
	if got, ok, _ := c.Get("key"); !ok || string(got) != "repaired" {
		t.Errorf("after Put: got %q, %v", got, ok)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte{}, "k")
	f.Add(encodeHeader("k", 1<<40), "k")
	f.Add(append(encodeHeader("k", 3), make([]byte, 40)...), "k")
	f.Fuzz(func(t *testing.T, raw []byte, key string) {
		if data, ok := decodeEntry(raw, key); ok && len(data) > len(raw) {
			t.Errorf("%d bytes out of %d", len(data), len(raw))
		}
	})
}

func TestPrune(t *testing.T) {
	c := openCache(t)
	for i := range 10 {
		key := fmt.Sprint(i)
		if err := c.Put(key, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(time.Duration(i-20) * time.Hour)
		if err := os.Chtimes(c.path(key), used, used); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := c.Get("2"); !ok || err != nil { // now the one used last
		t.Fatalf("got %v, %v", ok, err)
	}
	for name, age := range map[string]time.Duration{"killed": 48 * time.Hour, "writing": 0} {
		path := filepath.Join(c.dir, "00", ".x"+tempInfix+name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(path); (err == nil) != (name == "writing") {
				t.Errorf("temporary file %q: got %v", name, err)
			}
		}()
	}
	if n, err := c.Size(); err != nil || n < 10_000 || n > 12_000 {
		t.Errorf("size %d, %v, want 10 entries of 1000 bytes and something", n, err)
	}
	if n, _, err := c.Prune(1 << 20); n != 0 || err != nil {
		t.Errorf("roomy: removed %d, %v, want 0", n, err)
	}
	n, freed, err := c.Prune(4000)
	if err != nil || n != 7 || freed < 7000 {
		t.Errorf("removed %d, %d bytes, %v, want 7 and at least 7000", n, freed, err)
	}
	for i := range 10 {
		_, ok, _ := c.Get(fmt.Sprint(i))
		if want := i == 2 || i >= 8; ok != want {
			t.Errorf("entry %d: got %v, want %v", i, ok, want)
		}
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := openCache(t)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 200 {
				key := fmt.Sprint(i % 10)
				want := bytes.Repeat([]byte(key), 5000)
				if got, ok, err := c.Get(key); err != nil || (ok && !bytes.Equal(got, want)) {
					t.Errorf("%s: got %d bytes, %v, %v", key, len(got), ok, err)
				}
				if err := c.Put(key, want); err != nil {
					t.Error(err)
				}
				if i%50 == worker {
					if _, _, err := c.Prune(10_000); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
