package method

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/tune"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]string{
		"base":                               "base",
		" bm25:unit=test, k=3 ":              "bm25:k=3,unit=test",
		"adapter:dir=a/b+examples:k=4":       "adapter:dir=a/b+examples:k=4",
		"checkpoint:file=x=y,which=stranger": "checkpoint:file=x=y,which=stranger",
	} {
		s, err := ParseSpec(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: got %q, %v; want %q", text, s, err, want)
		}
	}
	for text, want := range map[string]string{
		"":               "name is missing",
		"base+":          "name is missing",
		"bm25:k":         "want KEY=VALUE",
		"bm25:=3":        "want KEY=VALUE",
		"bm25:k=1,k=2":   "set twice",
		"base+base+base": "at most two",
	} {
		if _, err := ParseSpec(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestExpand(t *testing.T) {
	got, err := Expand("bm25:k={1, 3},unit={test,window}")
	want := []string{"bm25:k=1,unit=test", "bm25:k=1,unit=window", "bm25:k=3,unit=test", "bm25:k=3,unit=window"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, text := range []string{"a{", "a}", "{b}}"} {
		if got, err := Expand(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
}

func TestBuild(t *testing.T) {
	b := &Builder{Contexts: &Contexts{}}
	for text, want := range map[string]string{
		"nothing":                 "unknown method",
		"base:k=3":                "no setting",
		"bm25:k=0":                "at least 1",
		"bm25:k=x":                "want a number",
		"bm25:unit=page":          "want one of definition, window, test",
		"bm25:colour=red":         `no setting "colour"`,
		"adapter":                 "dir is missing",
		"checkpoint:which=mine":   "want one of own",
		"dependencies:whole=both": "want one of yes, no",
	} {
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Build(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
	if err := (Spec{Parts: []Part{{Name: "base"}, {Name: "bm"}}}).Check(); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want an unknown method", err)
	}
	for _, text := range []string{"base", "bm25", "examples:k=2,layout=shots", "dependencies", "dependencies-past-cut", "own-adapter:dir=x+bm25:k=1"} {
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if m, err := b.Build(t.Context(), s); err != nil || m.Name() != s.String() {
			t.Errorf("%q: got %v, %v", text, m, err)
		}
	}
}

func TestPlan(t *testing.T) {
	all := specs(t, "base", "own-adapter:dir=x", "own-adapter:dir=x+bm25:k=1")
	describe := func(asked ...disclosure.Level) (out []string) {
		for _, p := range Plan(all, asked) {
			for _, s := range p.Specs {
				out = append(out, string(p.Level)+" "+s.String())
			}
		}
		return out
	}
	own := []string{"tree own-adapter:dir=x", "tree own-adapter:dir=x+bm25:k=1"}
	for _, tt := range []struct {
		asked []disclosure.Level
		want  []string
	}{
		{[]disclosure.Level{disclosure.Production}, append([]string{"production base"}, own...)},
		{[]disclosure.Level{disclosure.Tree}, append([]string{"tree base"}, own...)},
		{[]disclosure.Level{disclosure.Production, disclosure.Tree}, append([]string{"production base", "tree base"}, own...)},
	} {
		if got := describe(tt.asked...); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.asked, got, tt.want)
		}
	}
	// Nor can it be run, or measured, where it doesn't belong.
	r, tasks := runner(t, disclosure.Production)
	own1 := &PerRepository{As: "own-adapter", Dir: t.TempDir(), Dims: r.Engine.Model.Config.Dims()}
	for _, m := range []Method{own1, Combine("own-adapter+base", own1, Base{})} {
		if err := r.Run(t.Context(), m, tasks, nil); err == nil || !strings.Contains(err.Error(), "fitted to tests") {
			t.Errorf("%s at the level production: error %v", m.Name(), err)
		}
	}
	// Where it does, its folder may be the adapter's or that of a fit.
	r.Level = disclosure.Tree
	for _, inside := range []string{"", "adapter"} {
		if err := r.Run(t.Context(), own1, tasks, nil); err == nil || !strings.Contains(err.Error(), "no adapter of its own") {
			t.Errorf("%q: without an adapter: error %v", inside, err)
		}
		dir := filepath.Join(own1.Dir, tune.FolderOf(tasks[0].Repository))
		if err := adapter.WriteNative(filepath.Join(dir, inside), randomAdapter(r.Engine.Model, 1), adapter.Options{}); err != nil {
			t.Fatal(err)
		}
		if got := predictions(t, r, own1, tasks); len(got) != len(tasks) {
			t.Errorf("%q: %d answers to %d tasks", inside, len(got), len(tasks))
		}
		stranger := &PerRepository{As: "stranger", Dir: own1.Dir, Which: Stranger, Dims: own1.Dims}
		if err := r.Run(t.Context(), stranger, tasks, nil); err == nil || !strings.Contains(err.Error(), "no adapter of another") {
			t.Errorf("%q: a stranger where there is none: error %v", inside, err)
		}
		other := filepath.Join(own1.Dir, "some+stranger")
		if err := adapter.WriteNative(other, randomAdapter(r.Engine.Model, 2), adapter.Options{}); err != nil {
			t.Fatal(err)
		}
		alone := &Fixed{As: "fixed", Adapter: randomAdapter(r.Engine.Model, 2)}
		if got, want := predictions(t, r, stranger, tasks), predictions(t, r, alone, tasks); got[tasks[0].ID].NLL != want[tasks[0].ID].NLL ||
			got[tasks[0].ID].NLL == predictions(t, r, own1, tasks)[tasks[0].ID].NLL {
			t.Errorf("%q: the stranger's answers are not those of its adapter", inside)
		}
		own1 = &PerRepository{As: "own-adapter", Dir: t.TempDir(), Dims: own1.Dims}
	}
}
