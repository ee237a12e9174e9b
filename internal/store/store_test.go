package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
