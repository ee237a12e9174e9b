package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"code2lora": main})
}

// tests removes the fixtures after all tests.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer func() {
		if dir := fixturesOnce.dir; dir != "" {
			os.RemoveAll(dir)
		}
	}()
	return t.M.Run()
}

// TestScripts runs the real command as testdata/script says. Each script has a
// folder of its own with
//
//	tiny-llama.gguf, tiny-qwen2.gguf     bases, $LLAMA and $QWEN
//	llama.safetensors                    a hypernetwork checkpoint for $LLAMA, $CHECKPOINT
//	moments.safetensors                  one that reads cross moments, $MOMENTS
//	evo.safetensors                      one with a recurrence over commits, $EVO
//	repo/                                a small Python project, without git
//
// and, besides the usual commands of testscript, those of [scriptCommands] and
// the condition [assembly], that kernels in assembly are in use.
func TestScripts(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("these tests need git: ", err)
	}
	fix := fixtures(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name == "assembly" { // without it there is a note on standard error
				return kernel.Portable() == "", nil
			}
			return false, fmt.Errorf("no such condition: %q", name)
		},
		Cmds: scriptCommands,
		Setup: func(e *testscript.Env) error {
			for _, v := range [][2]string{
				{"CODE2LORA_HOME", filepath.Join(e.WorkDir, "home")}, {"CODE2LORA_OFFLINE", "1"}, {"HF_HUB_OFFLINE", "1"},
				{"HF_HOME", filepath.Join(e.WorkDir, "hf")},
				{"LLAMA", filepath.Join(e.WorkDir, "tiny-llama.gguf")}, {"QWEN", filepath.Join(e.WorkDir, "tiny-qwen2.gguf")},
				{"CHECKPOINT", filepath.Join(e.WorkDir, "llama.safetensors")}, {"EVO", filepath.Join(e.WorkDir, "evo.safetensors")},
				{"MOMENTS", filepath.Join(e.WorkDir, "moments.safetensors")},
			} {
				e.Setenv(v[0], v[1])
			}
			released, err := filepath.Abs("../../internal/repopeft/testdata")
			if err != nil {
				return err
			}
			e.Setenv("RELEASED", released)
			for _, v := range gitEnv {
				name, value, _ := strings.Cut(v, "=")
				e.Setenv(name, value)
			}
			return os.CopyFS(e.WorkDir, os.DirFS(fix))
		},
	})
}

// gitEnv makes commits that depend on nothing outside of a test.
var gitEnv = []string{
	"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=2024-01-02T03:04:05Z",
	"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=2024-01-02T03:04:05Z",
}

// commit makes dir a repository if it is none, commits everything in it, and
// returns the commit.
func commit(dir string) (string, error) {
	git := func(args ...string) (string, error) {
		c := exec.Command("git", append([]string{"-C", dir, "-c", "maintenance.auto=false"}, args...)...)
		c.Env = append(os.Environ(), gitEnv...)
		out, err := c.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out)), err
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "change"}} {
		if _, err := git(args...); err != nil {
			return "", err
		}
	}
	return git("rev-parse", "HEAD")
}

// scriptCommands are
//
//	exits CODE ARGS...   run code2lora; CODE may be "1|5"; see [cmdExits]
//	commit DIR [VAR]     commit all of DIR; VAR becomes the commit
//	head DIR VAR         VAR becomes the commit that DIR is at
//	await FILE TEXT      waits until FILE has TEXT
//	json PATH [REGEXP]   the last output has a value at PATH (a.b.0), and it matches
//	jsonenv VAR PATH     VAR becomes the value at PATH
//	about PATH NUMBER    the value at PATH is NUMBER, to 1e-4 of it
//	equal A B            two values are the same
//	mirrors              makes what a training run needs; see [makeMirrors]
//	completion FILE      FILE is the last output's text and a newline
//	compress FILE        FILE becomes FILE.gz
//	stopwords PATH S B   S becomes a piece of the text at PATH, and B what is before it
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"exits": cmdExits,
	"commit": func(ts *testscript.TestScript, _ bool, args []string) {
		id, err := commit(ts.MkAbs(args[0]))
		ts.Check(err)
		if len(args) > 1 {
			ts.Setenv(args[1], id)
		}
	},
	"head": func(ts *testscript.TestScript, _ bool, args []string) {
		out, err := exec.Command("git", "-C", ts.MkAbs(args[0]), "rev-parse", "HEAD").Output()
		ts.Check(err)
		ts.Setenv(args[1], strings.TrimSpace(string(out)))
	},
	"await": func(ts *testscript.TestScript, _ bool, args []string) {
		var data []byte
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
			if data, _ = os.ReadFile(ts.MkAbs(args[0])); strings.Contains(string(data), args[1]) {
				return
			}
		}
		ts.Fatalf("%s: got %q, want %q in it", args[0], data, args[1])
	},
	"json": func(ts *testscript.TestScript, neg bool, args []string) {
		v, ok := jsonAt(ts, args[0])
		if ok == neg {
			ts.Fatalf("value at %q: there is %t, want %t (%s)", args[0], ok, !neg, v)
		}
		if len(args) > 1 && !regexp.MustCompile(`^(?:`+args[1]+`)$`).MatchString(v) {
			ts.Fatalf("value at %q: got %s, want %s", args[0], v, args[1])
		}
	},
	"jsonenv": func(ts *testscript.TestScript, _ bool, args []string) {
		v, ok := jsonAt(ts, args[1])
		if !ok {
			ts.Fatalf("no value at %q", args[1])
		}
		ts.Setenv(args[0], v)
	},
	"mirrors": func(ts *testscript.TestScript, _ bool, _ []string) {
		ts.Check(makeMirrors(ts.MkAbs(".")))
	},
	"equal": func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) != 2 || (args[0] == args[1]) == neg {
			ts.Fatalf("%q: equal is %t, want %t", args, neg, !neg)
		}
	},
	"completion": func(ts *testscript.TestScript, _ bool, args []string) {
		want, _ := jsonAt(ts, "text")
		if !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got := ts.ReadFile(args[0]); got != want {
			ts.Fatalf("text: got %q, want %q", got, want)
		}
	},
	"compress": func(ts *testscript.TestScript, _ bool, args []string) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, ts.ReadFile(args[0]))
		ts.Check(errors.Join(err, w.Close()))
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".gz"), b.Bytes(), 0o644))
		ts.Check(os.Remove(ts.MkAbs(args[0])))
	},
	"stopwords": func(ts *testscript.TestScript, _ bool, args []string) {
		text, _ := jsonAt(ts, args[0])
		r := []rune(text)
		if len(r) < 6 {
			ts.Fatalf("text %q is too short to take a piece out of", text)
		}
		stop := string(r[len(r)/2 : len(r)/2+2])
		before, _, _ := strings.Cut(text, stop)
		ts.Setenv(args[1], stop)
		ts.Setenv(args[2], before)
	},
	"about": func(ts *testscript.TestScript, _ bool, args []string) {
		v, _ := jsonAt(ts, args[0])
		got, err := strconv.ParseFloat(v, 64)
		ts.Check(err)
		want, err := strconv.ParseFloat(args[1], 64)
		ts.Check(err)
		if d := got - want; d > 1e-4*max(want, -want) || d < -1e-4*max(want, -want) {
			ts.Fatalf("value at %q: got %g, want about %g", args[0], got, want)
		}
	},
}

// cmdExits runs the command and compares its exit code. What holds for every
// command is checked here: a failure says why on standard error and prints
// nothing on standard output; --json prints one JSON object.
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("code2lora", args[1:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	out, errOut := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if !slices.Contains(strings.Split(args[0], "|"), strconv.Itoa(got)) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
	if got != 0 {
		if out != "" {
			ts.Fatalf("a failure printed %q on standard output", out)
		}
		if !regexp.MustCompile(`(?m)^code2lora: .`).MatchString(errOut) {
			ts.Fatalf("standard error does not say what was wrong: %q", errOut)
		}
		return
	}
	if slices.Contains(args, "--json") {
		d := json.NewDecoder(strings.NewReader(out))
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			ts.Fatalf("--json: %v", err)
		}
		if err := d.Decode(&v); !errors.Is(err, io.EOF) {
			ts.Fatalf("--json: more than one value")
		}
	}
}

// jsonAt returns the value at a path such as "adapter.modules.0" of the last
// output: a string as it is, everything else as JSON. "len" is the length of a list.
func jsonAt(ts *testscript.TestScript, path string) (string, bool) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[key]; !ok {
				return "", false
			}
		case []any:
			if key == "len" {
				v = float64(len(x))
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				return "", false
			}
			v = x[i]
		default:
			return "", false
		}
	}
	if s, ok := v.(string); ok {
		return s, true
	}
	raw, err := json.Marshal(v)
	ts.Check(err)
	return string(raw), true
}

var fixturesOnce struct {
	sync.Once
	dir string
	err error
}

// fixtures returns a folder with what every test starts from.
func fixtures(t *testing.T) string {
	t.Helper()
	f := &fixturesOnce
	f.Do(func() {
		// Not t.TempDir: the folder serves all tests.
		if f.dir, f.err = os.MkdirTemp("", "code2lora-test-"); f.err == nil {
			f.err = makeFixtures(f.dir)
		}
	})
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f.dir
}

func makeFixtures(dir string) error {
	for _, name := range []string{"tiny-llama.gguf", "tiny-qwen2.gguf"} {
		data, err := os.ReadFile(filepath.Join("../../internal/model/testdata", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "repo"), os.DirFS("testdata/repo")); err != nil {
		return err
	}
	if err := makeRecurrent(filepath.Join(dir, "tiny-llama.gguf"), filepath.Join(dir, "evo.safetensors")); err != nil {
		return err
	}
	base := filepath.Join(dir, "tiny-llama.gguf")
	return errors.Join(makeCheckpoint(base, filepath.Join(dir, "llama.safetensors"), 0),
		makeCheckpoint(base, filepath.Join(dir, "moments.safetensors"), 5))
}

// makeCheckpoint writes a checkpoint for a base: a factored head with random
// parameters, so that every part of it has an effect. Unless cross is 0 it reads
// that many cross moments, of an encoder that has second moments too.
func makeCheckpoint(base, path string, cross int) error {
	data, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	cfg, err := model.ReadConfig(base)
	if err != nil {
		return err
	}
	enc := encoder.Options{Kind: encoder.KindHidden, Base: hex.EncodeToString(sum[:]), Layer: 1, Chunk: 32, Min: 8, Second: cross > 0, Cross: cross}
	tensor, shape := embedding.Repository, []int{2 * cfg.HiddenSize}
	if cross > 0 {
		tensor, shape = embedding.Cross, []int{cfg.HiddenSize, cross}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	reps := make([]*embedding.Representation, 6)
	for i := range reps {
		v := make([]float32, shape[0]*append(shape, 1)[1])
		for j := range v {
			v[j] = float32(rng.NormFloat64())
		}
		reps[i] = &embedding.Representation{Encoder: enc.ID(), Tensors: map[string]embedding.Tensor{
			tensor: {Shape: shape, Data: v}}}
	}
	head, err := hypernet.New(hypernet.FactoredKind,
		map[string]any{"rank": 2, "alpha": 4, "coefficients": 3, "input": map[string]any{"tensor": tensor, "components": 4}},
		hypernet.Setup{Dims: cfg.Dims(), Inputs: hypernet.InputsOf(reps[0])})
	if err != nil {
		return err
	}
	if err := head.Fit(reps); err != nil {
		return err
	}
	head.Init(1)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] += float32(0.1 * rng.NormFloat64())
		}
	}
	return hypernet.Save(path, &hypernet.Checkpoint{Head: head, Info: hypernet.Info{
		Name: "tiny", Base: adapter.Base{Name: "tiny-llama", SHA256: enc.Base}, Encoder: enc.ID(), Tool: "test"}}, safetensors.F32)
}
