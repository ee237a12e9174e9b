package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

// TestCollectDaily holds that updates collect by themselves, but not each of them.
func TestCollectDaily(t *testing.T) {
	fix := fixtures(t)
	home := t.TempDir()
	t.Setenv(store.HomeVar, home)
	dir := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(fix, "repo"))); err != nil {
		t.Fatal(err)
	}
	if _, err := commit(dir); err != nil {
		t.Fatal(err)
	}
	update := func() {
		t.Helper()
		var out, errOut bytes.Buffer
		args := []string{"update", dir, "--base", filepath.Join(fix, "tiny-llama.gguf"), "--checkpoint", filepath.Join(fix, "llama.safetensors")}
		if n := run(t.Context(), args, nil, &out, &errOut); n != exitOK {
			t.Fatalf("exit code %d: %s", n, errOut.String())
		}
	}
	update()
	stamps, err := filepath.Glob(filepath.Join(home, "collected", "*"))
	if err != nil || len(stamps) != 1 {
		t.Fatalf("got %q, %v, want one file about when states were collected", stamps, err)
	}
	damaged := filepath.Join(home, "states", "entries", "0", "0", "0.json")
	if err := store.WriteFile(damaged, func(w io.Writer) error { _, err := w.Write([]byte("{")); return err }); err != nil {
		t.Fatal(err)
	}
	update()
	if _, err := os.Stat(damaged); err != nil {
		t.Errorf("collected again at once: %v", err)
	}
	old := time.Now().Add(-2 * collectEvery)
	if err := os.Chtimes(stamps[0], old, old); err != nil {
		t.Fatal(err)
	}
	update()
	if _, err := os.Stat(damaged); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not collected after two days: %v", err)
	}
}
