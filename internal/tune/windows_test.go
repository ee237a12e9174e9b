package tune

import (
	"fmt"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
)

func TestCut(t *testing.T) {
	_, tok := tinyBase(t)
	c := testCorpus(t)
	docs := c.Documents("acme/a")
	whole, err := Cut(tok, "acme/a", docs, WindowOptions{Tokens: 200}, 0)
	if err != nil {
		t.Fatal(err)
	}
	tasks := 0
	for _, d := range docs {
		tasks += len(d.Tasks)
	}
	if got := NumTasks([]*Repository{whole}); got != tasks || len(whole.Files) != len(docs) {
		t.Errorf("%d tasks in %d files, want %d in %d", got, len(whole.Files), tasks, len(docs))
	}
	some, err := Cut(tok, "acme/a", docs, WindowOptions{Tokens: 200}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := NumTasks([]*Repository{some}); got != 5 {
		t.Errorf("%d tasks, want 5", got)
	}
	// The blank before a target is the last token of the prefix, or part of the target.
	spaced, err := Cut(tok, "acme/a", docs, WindowOptions{Tokens: 200, SpaceWithTarget: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := func(r *Repository) string {
		w := r.Files[0][0]
		return string(tok.Bytes(w.Tokens[w.Tasks[0].From]))
	}
	if a, b := first(whole), first(spaced); a[0] == ' ' || b[0] != ' ' {
		t.Errorf("targets begin with %q and %q, want the second with a space", a, b)
	}
	if _, err := Cut(tok, "acme/b", docs, WindowOptions{Tokens: 200}, 0); err == nil {
		t.Error("documents of another repository were accepted")
	}
}

func TestPlan(t *testing.T) {
	repos := repositories(1, "acme/a", "acme/c")
	all := NumTasks(repos)
	for _, share := range []bool{false, true} {
		o := options(LoRA)
		o.SharePrefixes = share
		p := newPlan(repos, &o)
		draws, windows := 0, 0
		for step := 0; ; step++ {
			ws, epoch := p.at(step)
			if epoch == 1 {
				break
			}
			tokens := 0
			for _, w := range ws {
				tokens += len(w.Tokens)
			}
			if tokens > o.TokensPerStep && len(ws) > 1 {
				t.Errorf("step %d has %d tokens", step, tokens)
			}
			draws, windows = draws+draw(ws), windows+len(ws)
			var again int
			for _, pass := range passes(ws, o.TokensPerPass) {
				again += len(pass)
			}
			if again != len(ws) {
				t.Errorf("step %d: %d windows in its passes, want %d", step, again, len(ws))
			}
		}
		if draws != all {
			t.Errorf("share %t: an epoch has %d tasks, want %d", share, draws, all)
		}
	}
	o := options(LoRA)
	o.Epochs, o.Steps = 0, 7
	if got := newPlan(repos, &o).numSteps(&o); got != 7 {
		t.Errorf("%d steps, want 7", got)
	}
	o.Steps, o.Draws = 0, all+1
	p := newPlan(repos, &o)
	n, draws := p.numSteps(&o), 0
	for step := range n {
		ws, _ := p.at(step)
		if draws >= all+1 {
			t.Errorf("step %d of %d comes after %d draws", step, n, draws)
		}
		draws += draw(ws)
	}
	if draws < all+1 {
		t.Errorf("%d draws in %d steps, want at least %d", draws, n, all+1)
	}
}

func TestFilter(t *testing.T) {
	f, err := (&DataOptions{}).Filter()
	if err != nil || len(f.Tracks) != 2 || len(f.Kinds) != 0 {
		t.Errorf("by default %+v, %v; want two tracks and all kinds", f, err)
	}
	if _, err := (&DataOptions{Tracks: []string{"ood"}}).Filter(); err == nil {
		t.Error("the track ood was accepted")
	}
}

// TestCutWithheld checks that no token of a task that will be asked is in what
// an adapter is fitted to: not as a target, and not as text around one.
func TestCutWithheld(t *testing.T) {
	_, tok := tinyBase(t)
	doc := &dataset.Document{Repository: "acme/d", Commit: "c", File: "test_a.py"}
	var parts []dataset.Split
	for i, part := range []dataset.Split{dataset.Train, dataset.Test, dataset.Train, dataset.Validation, dataset.Train} {
		doc.Text += fmt.Sprintf("def test_%d():\n    assert f(%d) == ", i, i)
		start := len(doc.Text)
		doc.Text += fmt.Sprintf("%s_%d\n", part, i)
		doc.Tasks = append(doc.Tasks, dataset.Target{Span: dataset.Span{Start: start, End: len(doc.Text) - 1}, Function: fmt.Sprintf("test_%d", i)})
		parts = append(parts, part)
	}
	c := corpus.New()
	if err := c.Add(doc, parts); err != nil {
		t.Fatal(err)
	}
	j := &Job{Corpus: c, Config: &Config{Data: DataOptions{WindowOptions: WindowOptions{Tokens: 400}}}, Deps: Deps{Tokenizer: tok}}
	repos, err := j.cut([]string{"acme/d"}, 0, dataset.Train)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, f := range repos[0].Files {
		for _, w := range f {
			text += tok.Decode(w.Tokens) + "\n"
		}
	}
	if n := NumTasks(repos); n != 3 || !strings.Contains(text, "train_4") {
		t.Errorf("%d tasks in %q, want the three of the training part", n, text)
	}
	for _, s := range []string{"test_1", "f(1)", "valid", "f(3)"} {
		if strings.Contains(text, s) {
			t.Errorf("%q is in the windows: %q", s, text)
		}
	}
}
