package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/code2lora/code2lora/internal/store"
)

// TestWatch commits while the command runs, reads what it says, and interrupts it.
func TestWatch(t *testing.T) {
	fix := fixtures(t)
	t.Setenv(store.HomeVar, t.TempDir())
	dir := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(fix, "repo"))); err != nil {
		t.Fatal(err)
	}
	id, err := commit(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, poll := range []bool{false, true} {
		out := filepath.Join(t.TempDir(), "adapter")
		args := []string{"--json", "watch", dir, "-o", out, "--base", filepath.Join(fix, "tiny-llama.gguf"), "--checkpoint", filepath.Join(fix, "llama.safetensors")}
		if poll {
			args = append(args, "--poll-only", "--poll", "50ms")
		}
		ctx, stop := context.WithCancel(t.Context())
		r, w := io.Pipe()
		code := make(chan int)
		var errOut bytes.Buffer
		go func() {
			n := run(ctx, args, nil, w, &errOut)
			w.Close()
			code <- n
		}()
		lines := bufio.NewScanner(r)
		want := func(id string) {
			t.Helper()
			var j updateJSON
			if !lines.Scan() {
				t.Fatalf("it ended: %s", errOut.String())
			}
			if err := json.Unmarshal(lines.Bytes(), &j); err != nil || j.Commit != id || j.Adapter == nil {
				t.Fatalf("got %s, %v, want the update to %s", lines.Text(), err, id)
			}
			if data, err := os.ReadFile(filepath.Join(out, "code2lora.json")); err != nil || !bytes.Contains(data, []byte(id)) {
				t.Errorf("the adapter is of another commit than %s: %v", id, err)
			}
		}
		want(id)
		name := filepath.Join(dir, "more.py")
		if poll {
			name = filepath.Join(dir, "most.py")
		}
		if err := os.WriteFile(name, []byte("def more(a, b):\n    return a + b * 3 - b // (a + 1)\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		if id, err = commit(dir); err != nil {
			t.Fatal(err)
		}
		want(id)
		stop()
		if n := <-code; n != exitOK {
			t.Errorf("exit code %d after an interrupt, want %d: %s", n, exitOK, errOut.String())
		}
	}
}
