package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
)

// trainNames are repositories with the splits that their names give them.
var trainNames = map[dataset.Split][]string{
	dataset.Train:      {"acme/a", "acme/c"},
	dataset.Validation: {"acme/b", "acme/j"},
	dataset.Test:       {"acme/d", "acme/e"},
}

const trainConfig = `name: run
base: tiny-llama.gguf
repositories: repositories.tsv
data: {window_tokens: 96, train_tasks: 12, validation_tasks: 4}
encoder: {kind: hidden, layer: 1, chunk: 32, max_files: 4}
head:
  kind: factored
  options: {rank: 2, alpha: 4, coefficients: 2, input: {components: 1}}
train: {epochs: 2, tokens_per_share: 96, shares_per_step: 2, validate_every: 2, save_every: 1, patience: 0}
`

// makeMirrors writes six small repositories, their table and a configuration,
// and the base beside it:
//
//	mirrors/acme+a and so on, repositories.tsv, run.yaml
func makeMirrors(dir string) error {
	table := "# name\tsplit\tcommit\n"
	for _, split := range []dataset.Split{dataset.Train, dataset.Validation, dataset.Test} {
		for _, name := range trainNames[split] {
			repo := filepath.Join(dir, "mirrors", strings.ReplaceAll(name, "/", "+"))
			if err := writeFiles(repo, projectFiles(name)); err != nil {
				return err
			}
			id, err := commit(repo)
			if err != nil {
				return err
			}
			table += fmt.Sprintf("%s\t%s\t%s\n", name, split, id)
		}
	}
	return writeFiles(dir, map[string]string{"repositories.tsv": table, "run.yaml": trainConfig})
}

// projectFiles are a module and its tests, with words of their own.
func projectFiles(name string) map[string]string {
	word := name[len(name)-1:] + "x"
	module, tests := "", "from pkg import *\n"
	for i := range 6 {
		module += fmt.Sprintf("def %s_%d(value):\n    return value * %d + %d\n\n\n", word, i, i+2, len(name)*i)
		tests += fmt.Sprintf("\n\ndef test_%s_%d():\n    assert %s_%d(%d) == %d\n    assert %s_%d(0) == %d\n",
			word, i, word, i, i, i*(i+2)+len(name)*i, word, i, len(name)*i)
	}
	return map[string]string{"pkg/__init__.py": module, "tests/test_pkg.py": tests}
}

func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func TestTrainNames(t *testing.T) {
	for want, names := range trainNames {
		for _, name := range names {
			if got := dataset.SplitOf(name); got != want {
				t.Errorf("%s: split %s, want %s", name, got, want)
			}
		}
	}
}

// cancelling is a writer that cancels when it is given text that matches.
type cancelling struct {
	buf    bytes.Buffer // not embedded: its WriteString would go past Write
	match  *regexp.Regexp
	cancel context.CancelFunc
}

func (c *cancelling) Write(p []byte) (int, error) {
	if c.match.Match(p) {
		c.cancel()
	}
	return c.buf.Write(p)
}

func (c *cancelling) String() string { return c.buf.String() }

// TestTrainInterrupted cuts a run at each of its first validations, and resumes
// it. The result is, to the byte, that of a run that was left alone.
func TestTrainInterrupted(t *testing.T) {
	home(t)
	dir := workDir(t)
	if err := makeMirrors(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	args := []string{"train", "-q", "-c", "run.yaml", "--mirrors", "mirrors"}
	var errOut bytes.Buffer
	if code := run(context.Background(), args, nil, &bytes.Buffer{}, &errOut); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	want := runFiles(t, "run")
	if err := os.Rename("run", "whole"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"step 2 validation", "step 4 validation"} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		cut := &cancelling{match: regexp.MustCompile(at), cancel: cancel}
		var out bytes.Buffer
		code := run(ctx, args, nil, &out, cut)
		if code != exitInterrupted || out.Len() > 0 || !strings.HasSuffix(cut.String(), "code2lora: interrupted\n") {
			t.Fatalf("cut at %q: exit code %d, output %q, standard error %q, want code 130", at, code, out.String(), cut.String())
		}
		noTemporaries(t, ".")
	}
	errOut.Reset()
	if code := run(context.Background(), args, nil, &bytes.Buffer{}, &errOut); code != exitOK {
		t.Fatalf("resuming: exit code %d: %s", code, errOut.String())
	}
	if strings.Contains(errOut.String(), "step 2 validation") {
		t.Errorf("the resumed run began at its beginning: %s", errOut.String())
	}
	for name, got := range runFiles(t, "run") {
		if got != want[name] {
			t.Errorf("%s of the resumed run differs from that of the whole one", name)
		}
	}
}

var rates = regexp.MustCompile(`"per_second":[^,}]*`)

// runFiles are the files of a run, the metrics without times.
func runFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range []string{"checkpoint.safetensors", "metrics.jsonl", "work/state.safetensors"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = rates.ReplaceAllString(string(data), "")
	}
	return files
}
