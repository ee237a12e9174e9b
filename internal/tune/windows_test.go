package tune

import "testing"

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
