package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRoot(t *testing.T) {
	t.Setenv(HomeVar, "/a/b")
	if got := Root(); got != "/a/b" {
		t.Errorf("got %q, want /a/b", got)
	}
	t.Setenv(HomeVar, "rel")
	if got := Root(); !filepath.IsAbs(got) || filepath.Base(got) != "rel" {
		t.Errorf("relative: got %q, want an absolute path", got)
	}
	t.Setenv(HomeVar, "")
	t.Setenv("XDG_CACHE_HOME", "/cache")
	if got := Root(); runtime.GOOS == "linux" && got != "/cache/code2lora" {
		t.Errorf("got %q, want /cache/code2lora", got)
	}
}

func dirNames(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestWriteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	path := filepath.Join(dir, "f")
	put := func(s string) error {
		return WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, s); return err })
	}
	for _, s := range []string{"first", strings.Repeat("second", 100_000), ""} {
		if err := put(s); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != s {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(s))
		}
	}
	if err := put("kept"); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := WriteFile(path, func(w io.Writer) error {
		w.Write(make([]byte, 1<<20))
		if got, _ := os.ReadFile(path); string(got) != "kept" {
			t.Errorf("during writing: got %d bytes, want the old file", len(got))
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "kept" {
		t.Errorf("after a failure: got %q, want the old file", got)
	}
	if got := dirNames(t, dir); got != "f" {
		t.Errorf("folder has %q, want only f", got)
	}
	if runtime.GOOS != "windows" {
		plain := filepath.Join(dir, "plain")
		if err := os.WriteFile(plain, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		a, _ := os.Stat(plain)
		b, _ := os.Stat(path)
		if a.Mode() != b.Mode() {
			t.Errorf("mode %v, want that of any new file, %v", b.Mode(), a.Mode())
		}
	}
	if err := WriteFile(filepath.Join(path, "x"), func(io.Writer) error { return nil }); err == nil {
		t.Error("a file in place of the folder: no error")
	}
	if err := WriteFile(dir, func(io.Writer) error { return nil }); err == nil {
		t.Error("a folder in place of the file: no error")
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	hello := func(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err }
	if err := ReplaceFile(filepath.Join(dir, "sub", "f"), hello); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: got %v, want %v", err, fs.ErrNotExist)
	}
	if got := dirNames(t, dir); got != "" {
		t.Errorf("folder has %q, want nothing", got)
	}
	path := filepath.Join(dir, "f")
	if err := ReplaceFile(path, hello); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		ReplaceFile(path, func(w io.Writer) error { w.Write(make([]byte, 1<<20)); panic("bug") })
		t.Error("a panic of the writer was swallowed")
	}()
	if got, err := os.ReadFile(path); string(got) != "hello" {
		t.Errorf("after a panic: got %q, %v, want the old file", got, err)
	}
	if got := dirNames(t, dir); got != "f" {
		t.Errorf("folder has %q, want only f", got)
	}
}

// A file in a folder that may be written but not read cannot be made durable,
// but once it is replaced that is no failure.
func TestReplaceUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	path := filepath.Join(dir, "f")
	if err := ReplaceFile(path, func(io.Writer) error { return nil }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestWriteExactly(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		writes []string
		err    error
		want   string // part of the message; empty: none
	}{
		{"nothing", nil, nil, "0 bytes, want 4"},
		{"short", []string{"ab", "c"}, nil, "3 bytes, want 4"},
		{"exact", []string{"ab", "", "cd"}, nil, ""},
		{"long", []string{"abcd", "e"}, nil, "5 bytes, want 4"},
		{"failing", []string{"abcd"}, broken, "broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			err := WriteExactly(&b, 4, func(w io.Writer) error {
				for _, s := range tt.writes {
					if n, err := io.WriteString(w, s); n != len(s) || err != nil {
						t.Errorf("got %d, %v, want %d", n, err, len(s))
					}
				}
				return tt.err
			})
			if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && got != tt.want {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got error %v, want %v", err, tt.err)
			}
			if got, want := b.String(), strings.Join(tt.writes, ""); got != want {
				t.Errorf("wrote %q, want %q", got, want)
			}
		})
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "x.lock")
	unlock, err := Lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := TryLock(path); ok || err != nil {
		t.Errorf("second lock: got %v, %v, want false", ok, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if got := lockElsewhere(t, path); got != "taken" {
		t.Errorf("other process: got %q, want taken", got)
	}
	unlock()
	if got := lockElsewhere(t, path); got != "free" {
		t.Errorf("other process: got %q, want free", got)
	}
	again, ok, err := TryLock(path) // the other process has ended without unlocking
	if !ok || err != nil {
		t.Fatalf("got %v, %v, want true", ok, err)
	}
	again()
}

const (
	lockVar = "STORE_TEST_LOCK"
	killVar = "STORE_TEST_KILL"
)

// lockElsewhere says whether another process can take the lock.
func lockElsewhere(t *testing.T, path string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), lockVar+"="+path, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A process that is killed while it writes leaves the old file.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killVar+"="+path)
	if err := cmd.Run(); err == nil {
		t.Fatal("the writer was not killed")
	}
	if got, err := os.ReadFile(path); string(got) != "old" {
		t.Errorf("got %q, %v, want the old file", got, err)
	}
}

func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	keep := []string{"a.bin", ".hidden", "b.tmp-1", filepath.Join("sub", ".a.tmp-1")}
	gone := []string{".a.bin.tmp-1x", ".a.bin.tmp-2"}
	for _, name := range append(slices.Clone(keep), gone...) {
		if err := WriteFile(filepath.Join(dir, name), func(io.Writer) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".d.tmp-1"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := RemoveTemps(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(keep, ".d.tmp-1") {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v, want it kept", name, err)
		}
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got error %v, want it gone", name, err)
		}
	}
	if err := RemoveTemps(filepath.Join(dir, "none")); err != nil {
		t.Errorf("no such folder: %v", err)
	}
}

func TestMain(m *testing.M) {
	if path := os.Getenv(lockVar); path != "" {
		_, ok, err := TryLock(path)
		switch {
		case err != nil:
			fmt.Print(err)
		case ok:
			fmt.Print("free")
		default:
			fmt.Print("taken")
		}
		os.Exit(0)
	}
	if path := os.Getenv(killVar); path != "" {
		WriteFile(path, func(w io.Writer) error {
			w.Write(bytes.Repeat([]byte("new"), 1<<20))
			p, _ := os.FindProcess(os.Getpid())
			p.Kill()
			select {}
		})
	}
	os.Exit(m.Run())
}
