package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// TestNewer holds that a slow update doesn't replace what a later one wrote.
func TestNewer(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for _, text := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, "x.py"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		id, err := commit(dir)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	r, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	made := func(commit, checkpoint string) *adapter.Adapter {
		d := adapter.Dims{Arch: "llama", NumHiddenLayers: 1, NumAttentionHeads: 1, NumKeyValueHeads: 1}
		for m := range d.Modules {
			d.Modules[m] = adapter.Shape{In: 8, Out: 8}
		}
		a := adapter.New(d, []adapter.Module{adapter.QProj}, 1, 1, false)
		a.Provenance.Repository, a.Provenance.Commit, a.Provenance.CheckpointSHA256 = "r", commit, checkpoint
		return a
	}
	for _, c := range []struct {
		name         string
		ref          string // of the branch now
		there, write string
		checkpoint   string // of the one that is there
		want         string
	}{
		{"nothing there", ids[2], "", ids[0], "k", ""},
		{"overtaken", ids[2], ids[2], ids[0], "k", ids[2]},
		{"overtaken on the way", ids[2], ids[1], ids[0], "k", ids[1]},
		{"older", ids[2], ids[0], ids[1], "k", ""},
		{"the ref is still there", ids[0], ids[2], ids[0], "k", ""},
		{"reset meanwhile", ids[0], ids[0], ids[2], "k", ids[0]},
		{"another checkpoint", ids[2], ids[2], ids[0], "other", ""},
	} {
		if out, err := exec.Command("git", "-C", dir, "update-ref", "refs/heads/main", c.ref).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		out := filepath.Join(t.TempDir(), "adapter")
		if c.there != "" {
			if err := adapter.WriteNative(out, made(c.there, c.checkpoint), adapter.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		f := &followed{Job: follow.Job{Repo: r}}
		if got := f.newer(t.Context(), out, made(c.write, "k")); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
