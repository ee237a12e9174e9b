package train

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/model"
)

func TestPlan(t *testing.T) {
	repos := repositories(1, 7)
	const tokens, perStep = 30, 3
	o := Options{Seed: 9, TokensPerShare: tokens, SharesPerStep: perStep}
	p := newPlan(repos, o)
	var steps [][]share
	var epochs []int
	for step := 0; ; step++ {
		shares, epoch := p.at(step)
		if epoch == 3 {
			break
		}
		steps, epochs = append(steps, shares), append(epochs, epoch)
	}

	seen := map[string]int{}
	for i, shares := range steps {
		if len(shares) == 0 || len(shares) > perStep {
			t.Errorf("step %d has %d shares, want 1 to %d", i, len(shares), perStep)
		}
		for _, s := range shares {
			n := 0
			for _, w := range s.windows {
				seen[fmt.Sprintf("epoch %d, repository %d, window %d", epochs[i], s.repo, w)]++
				n += len(repos[s.repo].Windows[w].Tokens)
			}
			if n > tokens && len(s.windows) > 1 {
				t.Errorf("step %d: a share of %d tokens, want at most %d", i, n, tokens)
			}
		}
	}
	for epoch := range 3 {
		for r, repo := range repos {
			for w := range repo.Windows {
				key := fmt.Sprintf("epoch %d, repository %d, window %d", epoch, r, w)
				if seen[key] != 1 {
					t.Errorf("%s: seen %d times, want once", key, seen[key])
				}
				delete(seen, key)
			}
		}
	}
	if len(seen) > 0 {
		t.Errorf("windows that do not exist: %v", seen)
	}

	// A step does not depend on those asked for before.
	for _, step := range []int{len(steps) - 1, 0, len(steps) / 2, 1, len(steps) / 2} {
		for what, q := range map[string]*plan{"the same": p, "a new": newPlan(repos, o)} {
			if got, epoch := q.at(step); !reflect.DeepEqual(got, steps[step]) || epoch != epochs[step] {
				t.Errorf("step %d from %s plan: %v of epoch %d, want %v of %d", step, what, got, epoch, steps[step], epochs[step])
			}
		}
	}
	if got, _ := newPlan(repos, Options{Seed: 10, TokensPerShare: tokens, SharesPerStep: perStep}).at(0); reflect.DeepEqual(got, steps[0]) {
		t.Error("another seed, the same first step")
	}
	if r := (&Run{Train: repos, Options: Options{Seed: 9, Epochs: 3, TokensPerShare: tokens, SharesPerStep: perStep}}); r.steps() != len(steps) {
		t.Errorf("%d steps expected, %d taken", r.steps(), len(steps))
	}
	// A window longer than a share is one of its own.
	if got, _ := newPlan(repos, Options{Seed: 9, TokensPerShare: 1, SharesPerStep: 1}).at(0); len(got[0].windows) != 1 {
		t.Errorf("a share of %d windows, want 1", len(got[0].windows))
	}
}

// TestFamilies has windows of four files, each with a head of its own.
func TestFamilies(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	draw := func(n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(rng.IntN(vocab))
		}
		return ids
	}
	var heads [][]int32
	for range 4 {
		heads = append(heads, draw(20))
	}
	r := &Repository{}
	for i := range 24 {
		w := Window{Tokens: slices.Concat(heads[i%4], draw(10)), Tasks: []Span{{25, 26}}}
		if i >= 20 { // of files without imports
			w.Tokens = draw(30)
		}
		r.Windows = append(r.Windows, w)
	}
	if got := families(r.Windows); len(got) != 8 {
		t.Errorf("%d families: %v, want one for each of 4 files and 4 single windows", len(got), got)
	}
	o := Options{Seed: 9, TokensPerShare: 60, SharesPerStep: 1, SharePrefixes: true}
	p := newPlan([]*Repository{r}, o)
	seen, pairs := map[int]int{}, 0
	for step := 0; ; step++ {
		shares, epoch := p.at(step)
		if epoch == 2 {
			break
		}
		rows := 0
		for k, w := range shares[0].windows {
			seen[w]++
			shared := p.shared(r, shares[0].windows[:k], w)
			if rows += 30 - shared; shared > 0 {
				pairs++
			}
		}
		if rows > 60 {
			t.Errorf("step %d: %d tokens to compute, want at most 60", step, rows)
		}
	}
	for w := range r.Windows {
		if seen[w] != 2 {
			t.Errorf("window %d: seen %d times in two epochs, want twice", w, seen[w])
		}
	}
	if pairs < 20 { // 16 of 20 can share in each epoch, but for the cuts
		t.Errorf("%d windows share a head in two epochs, want at least 20", pairs)
	}
	o.SharePrefixes = false
	if n := len(newPlan([]*Repository{r}, o).steps); n <= len(p.steps) {
		t.Errorf("%d steps without sharing, %d with: want more", n, len(p.steps))
	}
	run := Run{Train: []*Repository{r}, Options: Options{Seed: 9, Epochs: 2, TokensPerShare: 60, SharesPerStep: 1, Accumulate: 1, SharePrefixes: true}}
	if most := run.largestPass(); most.tokens > 60 {
		t.Errorf("largest pass of %d tokens, want at most 60", most.tokens)
	}
}

func TestLabels(t *testing.T) {
	w := Window{Tokens: []int32{10, 11, 12, 13, 14, 15, 16}, Tasks: []Span{{1, 3}, {5, 6}}}
	want := model.Sequence{Tokens: w.Tokens[:6], Adapter: 2, Labels: []model.Label{
		{Pos: 0, Target: 11, Weight: 1}, {Pos: 1, Target: 12, Weight: 1}, {Pos: 2, Target: 13, Weight: 1},
		{Pos: 4, Target: 15, Weight: 1}, {Pos: 5, Target: 16, Weight: 1}}}
	if got := w.sequence(2, true); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want.Tokens, want.Labels = w.Tokens[:5], slices.Delete(slices.Clone(want.Labels), 2, 3)
	want.Labels = want.Labels[:3]
	if got := w.sequence(2, false); !reflect.DeepEqual(got, want) {
		t.Errorf("without what follows: got %+v, want %+v", got, want)
	}
	// At the end of the text nothing follows the target.
	w.Tasks = []Span{{6, 7}}
	want = model.Sequence{Tokens: w.Tokens[:6], Labels: []model.Label{{Pos: 5, Target: 16, Weight: 1}}}
	if got := w.sequence(0, true); !reflect.DeepEqual(got, want) {
		t.Errorf("at the end: got %+v, want %+v", got, want)
	}
}

func TestTokenizeWindow(t *testing.T) {
	m, tok, err := model.Load("../model/testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const text = "def test():\n    assert f(1) == [1, 'é']\n    assert g() == 2"
	mark := func(s string, from int) dataset.Span {
		for i := from; ; i++ {
			if text[i:i+len(s)] == s {
				return dataset.Span{Start: i, End: i + len(s)}
			}
		}
	}
	targets := []dataset.Span{mark("[1, 'é']", 0), mark("2", 40)}
	w := TokenizeWindow(tok, text, targets)
	if got := tok.Decode(w.Tokens); got != text {
		t.Errorf("the tokens say %q, want %q", got, text)
	}
	if len(w.Tasks) != len(targets) {
		t.Fatalf("%d tasks, want %d", len(w.Tasks), len(targets))
	}
	for i, s := range w.Tasks {
		want := text[targets[i].Start:targets[i].End]
		if !reflect.DeepEqual(w.Tokens[s.From:s.To], tok.Encode(want)) {
			t.Errorf("task %d: tokens %v, want those of %q alone: %v", i, w.Tokens[s.From:s.To], want, tok.Encode(want))
		}
		if got := tok.Decode(w.Tokens[:s.From]); got != text[:targets[i].Start] {
			t.Errorf("task %d: before it %q, want %q", i, got, text[:targets[i].Start])
		}
	}
	if last := w.Tasks[1]; last.To != len(w.Tokens) {
		t.Errorf("the last target ends at %d of %d tokens", last.To, len(w.Tokens))
	}
	// A target at the very beginning cannot be asked for, and stays text.
	w = TokenizeWindow(tok, "1 == 2\n", []dataset.Span{{Start: 0, End: 1}, {Start: 5, End: 6}})
	if got := tok.Decode(w.Tokens); got != "1 == 2\n" || len(w.Tasks) != 1 || tok.Decode(w.Tokens[w.Tasks[0].From:w.Tasks[0].To]) != "2" {
		t.Errorf("target at the beginning: %q with tasks %v, want the second only", got, w.Tasks)
	}
}
