package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

const (
	repoA  = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
	repoB  = "name:../Ü/b" // one that no file can be called
	modelA = "aaaa"
	modelB = "bbbb"
)

func key(i int) Key { return Key{repoA, fmt.Sprintf("%040x", i), modelA} }

func openTemp(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "states"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustPut(t *testing.T, s *Store, e Entry, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), e, data); err != nil {
		t.Fatal(err)
	}
}

func TestDefault(t *testing.T) {
	t.Setenv(store.HomeVar, t.TempDir())
	s, err := Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustPut(t, s, Entry{Key: key(1)}, []byte("data"))
	if _, err := os.Stat(filepath.Join(store.Root(), "states", filepath.FromSlash(key(1).name()))); err != nil {
		t.Error(err)
	}
}

// testStore is what every kind of store must do. open opens one that is empty.
func testStore(t *testing.T, open func(*testing.T) *Store) {
	for name, test := range map[string]func(*testing.T, *Store){
		"put": testPut, "list": testList, "delete": testDelete, "damage": testDamage, "collect": testCollect,
		"grace": testGrace, "closed": testClosed, "cancel": testCancel, "lock": testLock, "guard": testGuard,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func TestFolder(t *testing.T) { testStore(t, openTemp) }

func testPut(t *testing.T, s *Store) {
	made := time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.FixedZone("", 3600))
	for i, data := range [][]byte{nil, {0}, []byte("some data"), bytes.Repeat([]byte("0123456789"), 10_000)} {
		for _, k := range []Key{key(i), {repoB, "HEAD~" + fmt.Sprint(i), "model <&> \x00"}} {
			if _, _, err := s.Get(t.Context(), k); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), fmt.Sprintf("%q", k.Commit)) {
				t.Errorf("%v before Put: got %v, want ErrNotFound", k, err)
			}
			if _, ok, err := s.Has(t.Context(), k); ok || err != nil {
				t.Errorf("%v before Put: got %v, %v, want false", k, ok, err)
			}
			want := Entry{Key: k, Parent: "p", Anchor: "a", Steps: 3, Made: made, Notes: map[string]float64{"norm": 0.1, "drift": 1e-300}}
			mustPut(t, s, Entry{Key: k}, []byte("older"))
			mustPut(t, s, want, data)
			want.Digest, want.Size, want.Made = digest(data), int64(len(data)), made.UTC()
			got, back, err := s.Get(t.Context(), k)
			if err != nil || !bytes.Equal(back, data) || !sameEntry(got, want) {
				t.Errorf("%v: got %+v, %d bytes, %v, want %+v, %d bytes", k, got, len(back), err, want, len(data))
			}
			if got, ok, err := s.Has(t.Context(), k); err != nil || !ok || !sameEntry(got, want) {
				t.Errorf("%v: got %+v, %v, %v, want %+v", k, got, ok, err, want)
			}
		}
	}
	for _, tt := range []struct {
		e    Entry
		want string
	}{
		{Entry{}, "no repository"},
		{Entry{Key: Key{"r", "", "m"}}, "no commit"},
		{Entry{Key: Key{"r", "c", ""}}, "no model"},
		{Entry{Key: Key{strings.Repeat("r", maxPart+1), "c", "m"}}, "at most"},
		{Entry{Key: Key{"\xff", "c", "m"}}, "UTF-8"},
		{Entry{Key: key(9), Steps: -1}, "-1 steps"},
		{Entry{Key: key(9), Notes: map[string]float64{"drift": math.NaN()}}, `note "drift"`},
	} {
		if err := s.Put(t.Context(), tt.e, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want an error with %q", tt.e, err, tt.want)
		}
	}
	if _, _, err := s.Get(t.Context(), Key{}); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("empty key: got %v, want an error other than ErrNotFound", err)
	}
}

func sameEntry(a, b Entry) bool {
	return a.Key == b.Key && a.Parent == b.Parent && a.Anchor == b.Anchor && a.Steps == b.Steps && a.Digest == b.Digest &&
		a.Size == b.Size && a.Made.Equal(b.Made) && maps.Equal(a.Notes, b.Notes)
}

func testList(t *testing.T, s *Store) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	// In the order that List has, put in another.
	keys := []Key{
		{repoB, "c9", modelA}, {repoA, "c1", modelA}, {repoA, "c1", modelB}, {repoA, "c2", modelA}, {repoB, "c2", modelB}, {repoA, "c0", modelA},
	}
	seconds := []int{0, 1, 1, 1, 1, 2}
	for _, i := range []int{4, 2, 0, 5, 1, 3} {
		mustPut(t, s, Entry{Key: keys[i], Made: day.Add(time.Duration(seconds[i]) * time.Second)}, []byte("the same for all"))
	}
	for _, tt := range []struct {
		repository, model string
		want              []int
	}{
		{"", "", []int{0, 1, 2, 3, 4, 5}}, {repoA, "", []int{1, 2, 3, 5}}, {repoB, "", []int{0, 4}}, {"", modelB, []int{2, 4}},
		{repoA, modelA, []int{1, 3, 5}}, {repoA, "none", nil}, {"none", "", nil},
	} {
		got, err := s.List(t.Context(), tt.repository, tt.model)
		if err != nil {
			t.Fatal(err)
		}
		var want []Key
		for _, i := range tt.want {
			want = append(want, keys[i])
		}
		if got := keysOf(got); !slices.Equal(got, want) {
			t.Errorf("list %q %q: got %v, want %v", tt.repository, tt.model, got, want)
		}
	}
	if got, err := s.Commits(t.Context(), repoA, modelA); err != nil || !slices.Equal(got, []string{"c0", "c1", "c2"}) {
		t.Errorf("commits: got %q, %v, want those in the order of their puts", got, err)
	}
	if got, err := s.Commits(t.Context(), repoA, "none"); err != nil || len(got) != 0 {
		t.Errorf("commits of no model: got %q, %v", got, err)
	}
	if _, err := s.Commits(t.Context(), repoA, ""); err == nil {
		t.Error("commits of every model: want an error")
	}
}

func keysOf(list []Entry) (keys []Key) {
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	return keys
}

func testDelete(t *testing.T, s *Store) {
	for i := range 3 {
		mustPut(t, s, Entry{Key: key(i)}, []byte("shared"))
	}
	if err := s.Delete(t.Context(), key(0), key(7), key(1), key(0)); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context(), "", "")
	if got, want := keysOf(list), []Key{key(2)}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, data, err := s.Get(t.Context(), key(2)); err != nil || string(data) != "shared" {
		t.Errorf("got %q, %v", data, err)
	}
}

// Every cut and every changed byte of either object of a state is noticed, and
// harms no other state.
func testDamage(t *testing.T, s *Store) {
	ctx := t.Context()
	data := []byte("some data")
	mustPut(t, s, Entry{Key: key(1), Notes: map[string]float64{"drift": 0.5}}, data)
	mustPut(t, s, Entry{Key: key(2)}, []byte("other"))
	check := func(what, name string, raw []byte, entry bool) {
		t.Helper()
		if err := s.objects.put(ctx, name, raw); err != nil {
			t.Fatal(err)
		}
		_, got, err := s.Get(ctx, key(1))
		if !errors.Is(err, ErrCorrupt) || got != nil || !strings.Contains(err.Error(), key(1).Commit) || !strings.Contains(err.Error(), "delete "+s.objects.locate(key(1).name())) {
			t.Errorf("%s: got %q, %v, want ErrCorrupt with the commit and what to do", what, got, err)
		}
		list, err := s.List(ctx, "", "")
		if want := []Key{key(2)}; entry && (!errors.Is(err, ErrCorrupt) || !slices.Equal(keysOf(list), want)) {
			t.Errorf("%s: list: got %v, %v, want %v and ErrCorrupt", what, keysOf(list), err, want)
		}
		if _, got, err := s.Get(ctx, key(2)); err != nil || string(got) != "other" {
			t.Errorf("%s: other state: got %q, %v", what, got, err)
		}
	}
	for _, name := range []string{key(1).name(), blobName(digest(data))} {
		intact, err := s.objects.get(ctx, name, maxEntry)
		if err != nil {
			t.Fatal(err)
		}
		entry := name == key(1).name()
		end := len(intact)
		if entry {
			end-- // the newline does not matter
		}
		for i := 0; i < end; i += 1 + end/60 {
			check(fmt.Sprintf("%s cut at %d", name, i), name, intact[:i], entry)
			raw := bytes.Clone(intact)
			raw[i] ^= 0x01
			check(fmt.Sprintf("%s byte %d", name, i), name, raw, entry)
		}
		check(name+" longer", name, append(bytes.Clone(intact), '0'), entry)
		if err := s.objects.put(ctx, name, intact); err != nil {
			t.Fatal(err)
		}
	}
	other, err := s.objects.get(ctx, key(2).name(), maxEntry)
	if err != nil {
		t.Fatal(err)
	}
	check("entry of another state", key(1).name(), other, true)
	mustPut(t, s, Entry{Key: key(1)}, data)
	if err := s.objects.remove(ctx, blobName(digest(data))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, key(1)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("without data: got %v, want ErrCorrupt", err)
	}
	mustPut(t, s, Entry{Key: key(1)}, data)
	if _, got, err := s.Get(ctx, key(1)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after Put: got %q, %v", got, err)
	}
}

// backdate makes a store take everything for old, or with false, restores it.
func backdate(s *Store, on bool) {
	s.grace = grace
	if on {
		s.grace = -time.Hour
	}
}

func testCollect(t *testing.T, s *Store) {
	ctx := t.Context()
	for i := range 6 {
		mustPut(t, s, Entry{Key: key(i), Steps: i}, fmt.Appendf(nil, "data %d", i/2)) // two share each blob
	}
	mustPut(t, s, Entry{Key: key(9)}, []byte("damaged"))
	if err := s.objects.put(ctx, key(9).name(), []byte("{")); err != nil {
		t.Fatal(err)
	}
	backdate(s, true)
	removed, freed, err := s.Collect(ctx, func(e Entry) bool { return e.Steps >= 3 })
	if err != nil || removed != 4 || freed <= 6+7 {
		t.Errorf("got %d, %d bytes, %v, want 4 entries and more than the data", removed, freed, err)
	}
	var blobs []string
	if err := s.objects.list(ctx, "blobs/", func(o object) error { blobs = append(blobs, o.name); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []string{blobName(digest([]byte("data 1"))), blobName(digest([]byte("data 2")))}
	slices.Sort(blobs)
	if slices.Sort(want); !slices.Equal(blobs, want) {
		t.Errorf("blobs: got %v, want %v", blobs, want)
	}
	for i := range 6 {
		_, data, err := s.Get(ctx, key(i))
		if i < 3 && !errors.Is(err, ErrNotFound) || i >= 3 && (err != nil || string(data) != fmt.Sprintf("data %d", i/2)) {
			t.Errorf("state %d: got %q, %v", i, data, err)
		}
	}
	newer := envelope{Format: entryFormat + 1, Entry: []byte(`{"all":"different"}`)}
	newer.Sum = newer.sum()
	raw := fmt.Appendf(nil, `{"format":%d,"sha256":%q,"entry":%s,"more":1}`, newer.Format, newer.Sum, newer.Entry)
	if err := s.objects.put(ctx, key(3).name(), raw); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"collect": func() error { _, _, err := s.Collect(ctx, func(Entry) bool { return false }); return err }(),
		"get":     func() error { _, _, err := s.Get(ctx, key(3)); return err }(),
		"list":    func() error { _, err := s.List(ctx, "", ""); return err }(),
	} {
		if err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("%s of a newer entry: got %v, want that it is newer", what, err)
		}
	}
	if _, _, err := s.Get(ctx, key(5)); err != nil {
		t.Errorf("a collection that could not read everything removed something: %v", err)
	}
}

func testGrace(t *testing.T, s *Store) {
	ctx := t.Context()
	blob := blobName(digest([]byte("unfinished")))
	if err := s.objects.put(ctx, blob, []byte("unfinished")); err != nil {
		t.Fatal(err)
	}
	for _, old := range []bool{false, true} {
		backdate(s, old)
		if n, _, err := s.Collect(ctx, func(Entry) bool { return true }); n != 0 || err != nil {
			t.Fatalf("removed %d, %v", n, err)
		}
		if there, err := s.objects.exists(ctx, blob); there == old || err != nil {
			t.Errorf("old %v: blob without an entry there: got %v, %v, want %v", old, there, err, !old)
		}
	}
}

func testClosed(t *testing.T, s *Store) {
	mustPut(t, s, Entry{Key: key(1)}, nil)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	for name, err := range calls(t.Context(), s) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
}

func testCancel(t *testing.T, s *Store) {
	mustPut(t, s, Entry{Key: key(1)}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range calls(ctx, s) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", name, err)
		}
	}
}

// calls returns the errors of all methods but Close.
func calls(ctx context.Context, s *Store) map[string]error {
	m := map[string]error{"put": s.Put(ctx, Entry{Key: key(1)}, []byte("x")), "delete": s.Delete(ctx, key(1)), "delete nothing": s.Delete(ctx)}
	_, _, m["get"] = s.Get(ctx, key(1))
	_, _, m["has"] = s.Has(ctx, key(1))
	_, m["list"] = s.List(ctx, "", "")
	_, _, m["collect"] = s.Collect(ctx, func(Entry) bool { return true })
	_, m["lock"] = s.Lock(ctx, repoA, modelA)
	return m
}

func testLock(t *testing.T, s *Store) {
	unlock, err := s.Lock(t.Context(), repoA, modelA)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Lock(t.Context(), repoA, modelB)
	if err != nil {
		t.Fatal(err)
	}
	other()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(short, repoA, modelA); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: got %v, want that the time is over", err)
	}
	got := make(chan error)
	go func() {
		unlock, err := s.Lock(t.Context(), repoA, modelA)
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Errorf("lock after unlock: %v", err)
	}
}

// A collection that began before a Put wrote its entry, and took its blob for a
// leftover, costs the state nothing.
func testGuard(t *testing.T, s *Store) {
	backdate(s, true)
	data := []byte("data")
	hooked := &hooked{objects: s.objects}
	s.objects = hooked
	hooked.before = func(name string) {
		if name != key(1).name() {
			return
		}
		hooked.before = nil
		if _, _, err := s.Collect(t.Context(), func(Entry) bool { return true }); err != nil {
			t.Error(err)
		}
		if there, err := s.objects.exists(t.Context(), blobName(digest(data))); there || err != nil {
			t.Errorf("blob after the collection: got %v, %v, want none, so that there is something to test", there, err)
		}
	}
	mustPut(t, s, Entry{Key: key(1)}, data)
	if _, got, err := s.Get(t.Context(), key(1)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %q, %v, want the data", got, err)
	}
}

// hooked calls a function before an object is put.
type hooked struct {
	objects
	before func(name string)
}

func (h *hooked) put(ctx context.Context, name string, data []byte) error {
	if h.before != nil {
		h.before(name)
	}
	return h.objects.put(ctx, name, data)
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{
		file:                     "is a file",
		filepath.Join(file, "x"): "file",
		"ftp://me:hush@host/x":   `unknown kind "ftp://"`,
	} {
		_, err := Open(t.Context(), where)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: got %v, want an error with %q", where, err, want)
		}
	}
}

// A folder that can't be written to is still read.
func TestReadOnly(t *testing.T) {
	s := openTemp(t)
	mustPut(t, s, Entry{Key: key(1)}, []byte("data"))
	dir := s.objects.(*files).dir
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		t.Cleanup(func() { os.Chmod(path, 0o777) })
		return os.Chmod(path, 0o555)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, data, err := s.Get(t.Context(), key(1)); err != nil || string(data) != "data" {
		t.Errorf("got %q, %v", data, err)
	}
	if os.Getuid() == 0 {
		return // root may write anywhere
	}
	if err := s.Put(t.Context(), Entry{Key: key(1)}, []byte("new")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("put: got %v, want that it is not permitted", err)
	}
}

// Temporary files of killed writers are not listed, and go when they are old.
func TestSweep(t *testing.T) {
	s := openTemp(t)
	mustPut(t, s, Entry{Key: key(1)}, nil)
	path := filepath.Join(filepath.Dir(s.objects.locate(key(1).name())), ".x.json")
	if err := os.WriteFile(path, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context(), "", ""); len(list) != 1 || err != nil {
		t.Errorf("got %v, %v, want one state", list, err)
	}
	for _, old := range []bool{false, true} {
		backdate(s, old)
		if n, _, err := s.Collect(t.Context(), func(Entry) bool { return true }); n != 0 || err != nil {
			t.Fatalf("removed %d, %v", n, err)
		}
		if _, err := os.Stat(path); (err == nil) == old {
			t.Errorf("old %v: got %v", old, err)
		}
	}
}
