package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/runs"
)

// home gives a test a home of its own, without network.
func home(t *testing.T) {
	t.Helper()
	t.Setenv(store.HomeVar, filepath.Join(t.TempDir(), "home"))
	t.Setenv(catalog.OfflineVar, "1")
	t.Setenv("HF_HUB_OFFLINE", "1")
	t.Setenv("HF_HOME", t.TempDir())
}

// workDir returns a folder with the fixtures.
func workDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(fixtures(t))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noTemporaries fails if anything half-written lies below dir.
func noTemporaries(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), ".tmp-") {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// paths is the set of everything below dir.
func paths(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all[path] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestInterrupted interrupts every command that works for long: it exits with
// 130, says so, and leaves the work folder as it was.
func TestInterrupted(t *testing.T) {
	home(t)
	dir := workDir(t)
	if err := makeMirrors(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	tasks := `{"prefix": "x = ", "target": "1"}` + "\n"
	user := "models:\n- {name: mine, licence: MIT, bytes: 141664, sha256: fc569ee3484fe783e8e460ff7bb79eda7c8a96ca4a62061750f404fc8dcf7e1a}\n"
	if err := writeFiles(store.Root(), map[string]string{"catalog.yaml": user}); err != nil {
		t.Fatal(err)
	}
	if code := run(context.Background(), []string{"adapt", "repo", "--base", "tiny-llama.gguf", "--checkpoint", "llama.safetensors", "-o", "lora"},
		nil, &bytes.Buffer{}, os.Stderr); code != exitOK {
		t.Fatalf("adapt: exit code %d", code)
	}
	before := paths(t, ".")
	for _, line := range []string{
		"adapt repo --base tiny-llama.gguf --checkpoint llama.safetensors -o out",
		"adapt mirrors/acme+a --base tiny-llama.gguf --checkpoint llama.safetensors -o lora",
		"--json demo repo --base tiny-llama.gguf --checkpoint llama.safetensors",
		"complete --base tiny-llama.gguf --adapter lora",
		"score --base tiny-llama.gguf -",
		"export lora --base tiny-llama.gguf --format peft -o out",
		"import lora --base tiny-llama.gguf -o out",
		"merge lora --base tiny-llama.gguf -o out.gguf",
		"train -c run.yaml --mirrors mirrors",
		"evaluate -c run.yaml --mirrors mirrors --checkpoint llama.safetensors",
		"pull mine --source tiny-llama.gguf",
	} {
		t.Run(line, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			var out, errOut bytes.Buffer
			code := run(ctx, strings.Fields(line), strings.NewReader(tasks), &out, &errOut)
			if code != exitInterrupted || out.Len() > 0 || !strings.HasSuffix(errOut.String(), "code2lora: interrupted\n") {
				t.Errorf("exit code %d, output %q, standard error %q, want code 130", code, out.String(), errOut.String())
			}
			after := paths(t, ".")
			for path := range after {
				if !before[path] {
					t.Errorf("%s was left behind", path)
				}
			}
			for path := range before {
				if !after[path] {
					t.Errorf("%s is gone", path)
				}
			}
			noTemporaries(t, store.Root())
		})
	}
	if _, err := os.Stat(filepath.Join(store.Root(), "models", "mine.gguf")); err == nil {
		t.Error("an interrupted pull left a model")
	}
}

// TestCompleteInterrupted stops a completion while it is being printed.
func TestCompleteInterrupted(t *testing.T) {
	home(t)
	t.Chdir(workDir(t))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &cancelling{match: regexp.MustCompile(`.`), cancel: cancel}
	var errOut bytes.Buffer
	code := run(ctx, strings.Fields("complete --base tiny-llama.gguf --max-tokens 400 --temperature 1 --seed 1"), strings.NewReader("def f():"), out, &errOut)
	if code != exitInterrupted || out.String() == "" || len(out.String()) > 20 {
		t.Errorf("exit code %d after printing %q (%q), want 130 after a few bytes", code, out.String(), errOut.String())
	}
}

// TestSignal sends a real Ctrl-C to a program that waits for its input.
func TestSignal(t *testing.T) {
	home(t)
	dir := workDir(t)
	for _, args := range [][]string{{"complete", "--base", "tiny-llama.gguf"}, {"score", "--base", "tiny-llama.gguf", "-"}} {
		c := exec.Command("code2lora", args...)
		c.Dir = dir
		var out, errOut bytes.Buffer
		c.Stdout, c.Stderr = &out, &errOut
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// More than pipes hold: when it is written, the program is reading.
		if _, err := in.Write(bytes.Repeat([]byte(" "), 4<<20)); err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
			t.Errorf("%s: got %v, want exit code 130", args[0], err)
		}
		if got, want := errOut.String(), "code2lora: interrupted\n"; got != want || out.Len() > 0 {
			t.Errorf("%s: standard error %q, output %q, want %q and nothing", args[0], got, out.String(), want)
		}
	}
}

// TestBuiltinCheckpoint gives the program a checkpoint and looks at both ends:
// its base needs no --checkpoint, and another base is told which one has one.
func TestBuiltinCheckpoint(t *testing.T) {
	home(t)
	t.Chdir(workDir(t))
	data, err := os.ReadFile("llama.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	old := runs.Checkpoints
	defer func() { runs.Checkpoints = old }()
	runs.Checkpoints = []runs.Checkpoint{
		{Name: "first-base", BaseSHA256: strings.Repeat("0", 64)},
		{Name: "tiny-llama", BaseSHA256: "fc569ee3484fe783e8e460ff7bb79eda7c8a96ca4a62061750f404fc8dcf7e1a", Data: data},
	}
	adapt := func(base string, extra ...string) (digest string, code int, errOut string) {
		t.Helper()
		var out, e bytes.Buffer
		code = run(context.Background(), append([]string{"--json", "adapt", "repo", "--base", base, "-o", "lora"}, extra...), nil, &out, &e)
		var r struct{ Adapter struct{ Digest string } }
		if code == exitOK {
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
		}
		return r.Adapter.Digest, code, e.String()
	}
	want, code, errOut := adapt("tiny-llama.gguf", "--checkpoint", "llama.safetensors")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	for range 2 {
		if got, code, errOut := adapt("tiny-llama.gguf"); got != want || code != exitOK {
			t.Fatalf("digest %q, exit code %d (%s), want %q", got, code, errOut, want)
		}
		// A copy that was damaged is written again.
		copies, err := filepath.Glob(filepath.Join(store.Root(), "checkpoints", "tiny-llama-*.safetensors"))
		if err != nil || len(copies) != 1 {
			t.Fatalf("unpacked checkpoints: %q, %v, want one", copies, err)
		}
		if err := os.WriteFile(copies[0], data[:len(data)/2], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, code, errOut = adapt("tiny-qwen2.gguf")
	if wantText := "base tiny-qwen2: no hypernetwork checkpoint: those that come with the program are for first-base, tiny-llama; give another with --checkpoint"; code != exitBase || !strings.Contains(errOut, wantText) {
		t.Errorf("exit code %d, %q, want code 4 and %q", code, errOut, wantText)
	}
}

// TestOffset finds cursors in a text of three lines, the last without an end.
func TestOffset(t *testing.T) {
	const text = "ab\nπé\n\nz"
	for _, c := range []struct {
		at   string
		want int // -1: an error
	}{
		{"1:1", 0}, {"1:2", 1}, {"1:3", 2}, {"1:4", -1}, {"2:1", 3}, {"2:2", 5}, {"2:3", 7}, {"2:4", -1},
		{"3:1", 8}, {"3:2", -1}, {"4:1", 9}, {"4:2", 10}, {"4:3", -1}, {"5:1", -1},
		{"", -1}, {"1", -1}, {":", -1}, {"1:", -1}, {":1", -1}, {"0:1", -1}, {"1:0", -1}, {"-1:1", -1}, {"1:1:1", -1}, {"a:b", -1},
		{"99999999999999999999:1", -1},
	} {
		got, err := offset(text, c.at)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("offset %q: got %d, %v, want %d", c.at, got, err, c.want)
		}
	}
	if got, err := offset("", "1:1"); got != 0 || err != nil {
		t.Errorf("offset in an empty text: got %d, %v, want 0", got, err)
	}
}

// FuzzOffset holds that a cursor is a place between two characters.
func FuzzOffset(f *testing.F) {
	f.Add("ab\nπé\n\nz", "2:2")
	f.Add("\xff\n", "1:2")
	f.Fuzz(func(t *testing.T, text, at string) {
		i, err := offset(text, at)
		if err == nil && (i < 0 || i > len(text)) {
			t.Errorf("offset(%q, %q) = %d", text, at, i)
		}
	})
}

// TestBuiltinRecurrent follows a history with a checkpoint that comes with the
// program.
func TestBuiltinRecurrent(t *testing.T) {
	home(t)
	t.Chdir(workDir(t))
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false", "commit", "-qm", "all"}} {
		if out, err := exec.Command("git", append([]string{"-C", "repo"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v: %s", err, out)
		}
	}
	if err := makeRecurrent("tiny-llama.gguf", "evo.safetensors"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("evo.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	old := runs.Checkpoints
	defer func() { runs.Checkpoints = old }()
	runs.Checkpoints = []runs.Checkpoint{
		{Name: "evo", BaseSHA256: "fc569ee3484fe783e8e460ff7bb79eda7c8a96ca4a62061750f404fc8dcf7e1a", Data: data},
	}
	try := func(args ...string) (code int, errOut string) {
		var out, e bytes.Buffer
		code = run(context.Background(), append(args, "repo", "--base", "tiny-llama.gguf"), nil, &out, &e)
		return code, e.String()
	}
	for _, args := range [][]string{{"update"}, {"log"}, {"adapt", "--mode", "evo", "-o", "lora"}} {
		if code, errOut := try(args...); code != exitOK {
			t.Errorf("%q: exit code %d: %s", args, code, errOut)
		}
	}
	if code, errOut := try("adapt", "-o", "lora"); code == exitOK || !strings.Contains(errOut, "checkpoint evo: a checkpoint that follows commits") {
		t.Errorf("adapt: exit code %d: %s; want that it follows commits", code, errOut)
	}
}
