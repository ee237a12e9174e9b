package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/hypernet"
)

const text2loraConfig = `name: t2l
base: tiny-llama.gguf
repositories: repositories.tsv
data: {window_tokens: 96, train_tasks: 12, validation_tasks: 4}
encoder: {kind: description, layer: 1, chunk: 32}
head:
  kind: text2lora
  options: {task: 4, depth: 3, type: 2, hidden: 8, neck: 6, rank: 2, alpha: 4, input: {standardize: zscore}}
train: {epochs: 2, tokens_per_share: 96, shares_per_step: 2, validate_every: 2, save_every: 1, patience: 0}
`

const tuneConfig = `base: tiny-llama.gguf
data: {folders: [t2l/work/train, t2l/work/validation], window_tokens: 96}
fit: {rank: 2, learning_rate: 0.01, epochs: 2, tokens_per_step: 128, tokens_per_pass: 128, validate_every: 2, save_every: 1}
grid: {rank: [1, 2]}
`

// ok runs the command and returns its standard output.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(context.Background(), args, nil, &out, &errOut); code != exitOK {
		t.Fatalf("%q: exit code %d: %s", args, code, errOut.String())
	}
	return out.String()
}

// TestText2LoRAAndTune trains a head that reads descriptions, adapts a
// repository with it, and fits adapters to the tasks that it has mined.
func TestText2LoRAAndTune(t *testing.T) {
	home(t)
	dir := workDir(t)
	if err := makeMirrors(dir); err != nil {
		t.Fatal(err)
	}
	if err := writeFiles(dir, map[string]string{"t2l.yaml": text2loraConfig, "single.yaml": tuneConfig,
		"own.yaml": strings.Replace(tuneConfig, "grid: {rank: [1, 2]}", "target: repositories", 1)}); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	ok(t, "train", "-q", "-c", "t2l.yaml", "--mirrors", "mirrors")
	c, err := hypernet.ReadInfo("t2l/checkpoint.safetensors")
	if err != nil || c.Head.Kind() != hypernet.Text2LoRAKind || !strings.HasPrefix(c.Encoder, "description/1 ") {
		t.Fatalf("checkpoint %+v, error %v", c, err)
	}
	ok(t, "adapt", "mirrors/acme+d", "--checkpoint", "t2l/checkpoint.safetensors", "--base", "tiny-llama.gguf", "-o", "adapted")
	ok(t, "evaluate", "-c", "t2l.yaml", "--mirrors", "mirrors")

	// Interrupted in the grid's second point, and continued.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cut := &cancelling{match: regexp.MustCompile("rank=2: step 2 validation"), cancel: cancel}
	if code := run(ctx, []string{"tune", "-c", "single.yaml"}, nil, &bytes.Buffer{}, cut); code != exitInterrupted {
		t.Fatalf("cut: exit code %d: %s", code, cut.String())
	}
	noTemporaries(t, ".")
	var got struct {
		Dir  string
		Grid struct {
			Points []struct{ Name, Error string }
			Best   int
		}
		Shared struct{ Draws, Repositories int }
	}
	if err := json.Unmarshal([]byte(ok(t, "tune", "--json", "-q", "-c", "single.yaml")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Dir != "single" || len(got.Grid.Points) != 2 || got.Grid.Points[got.Grid.Best].Error != "" || got.Shared.Draws == 0 || got.Shared.Repositories != 2 {
		t.Errorf("result %+v", got)
	}
	a, err := adapter.ReadNative("single/adapter")
	if err != nil || a.Provenance.Checkpoint != "single" {
		t.Errorf("adapter %v, error %v", a, err)
	}
	if text := ok(t, "tune", "-c", "own.yaml"); !strings.Contains(text, "2 fitted, 0 failed") {
		t.Errorf("got %q, want two repositories fitted", text)
	}
	for _, name := range []string{"acme+a", "acme+c"} {
		if _, err := os.Stat(filepath.Join("own", name, "adapter", "adapter.safetensors")); err != nil {
			t.Error(err)
		}
	}
}

func TestTuneErrors(t *testing.T) {
	home(t)
	dir := workDir(t)
	if err := writeFiles(dir, map[string]string{"bad.yaml": "base: b\nfits: {}\n",
		"nodata.yaml": "base: tiny-llama.gguf\ndata: {folders: [nowhere]}\nfit: {steps: 1}\n"}); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"tune"}, exitUsage, "-c FILE"},
		{[]string{"tune", "-c", "none.yaml"}, exitInput, "none.yaml"},
		{[]string{"tune", "-c", "bad.yaml"}, exitInput, "fits"},
		{[]string{"tune", "-c", "nodata.yaml"}, exitInput, "nowhere"},
	} {
		var errOut bytes.Buffer
		if code := run(context.Background(), tt.args, nil, &bytes.Buffer{}, &errOut); code != tt.code || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("%q: exit code %d, %q, want code %d and %q", tt.args, code, errOut.String(), tt.code, tt.want)
		}
	}
}
