package train

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// TestAuditOfConstantHead has a head that makes the same adapter for all: own,
// average and stranger must agree to the bit.
func TestAuditOfConstantHead(t *testing.T) {
	m, repos := tinyModel(t), repositories(2, 6)
	o := headOptions()
	o["conditioning"] = "none"
	head := newHead(t, m, repos, o)
	for _, p := range head.Params() {
		for i := range p.Value {
			p.Value[i] += 0.05 * float32(i%3)
		}
	}
	a := Auditor{Base: local(m), Leaves: func(id int32) bool { return id%2 == 0 }}
	got, err := a.Audit(context.Background(), head, repos, true)
	if err != nil {
		t.Fatal(err)
	}
	zero := Score{}
	if got.OwnAverage != zero || got.OwnStranger != zero {
		t.Errorf("differences %+v and %+v, want exactly 0", got.OwnAverage, got.OwnStranger)
	}
	if got.Own != got.Average || got.Own != got.Stranger {
		t.Errorf("own %+v, average %+v, stranger %+v: want the same", got.Own, got.Average, got.Stranger)
	}
	if got.Base == nil || got.Base.CrossEntropy == got.Own.CrossEntropy {
		t.Errorf("base %+v, own %+v: want another score without an adapter", got.Base, got.Own)
	}
	if got.Repositories != 6 || got.Tasks != NumTasks(repos) {
		t.Errorf("%d repositories, %d tasks; want 6 and %d", got.Repositories, got.Tasks, NumTasks(repos))
	}
	small := a
	small.Tokens = 1 // a window at a time
	again, err := small.Audit(context.Background(), head, repos, false)
	if err != nil {
		t.Fatal(err)
	}
	if d := again.Own.CrossEntropy.Mean - got.Own.CrossEntropy.Mean; math.Abs(d) > 1e-6 || again.Own.ExactMatch != got.Own.ExactMatch || again.Base != nil {
		t.Errorf("in small batches: %+v (base %v), want %+v and no base", again.Own, again.Base, got.Own)
	}
}

// signed is a head whose adapters say which repository they were made for: the
// number of its files. The average says −1.
type signed struct{ hypernet.Head }

func sign(n int) *adapter.Adapter {
	a := &adapter.Adapter{Rank: 1, Alpha: 1, Layers: make([][adapter.NumModules]*adapter.Pair, 1)}
	a.Layers[0][adapter.QProj] = &adapter.Pair{A: []float32{float32(n)}, B: []float32{0}}
	return a
}

func (signed) Generate(rep *embedding.Representation) (*adapter.Adapter, hypernet.Tape, error) {
	return sign(rep.Files), nil, nil
}

func (signed) Average() (*adapter.Adapter, error) { return sign(-1), nil }

// reader is a base that reads whom an adapter is for. A window's tokens say
// whose it is: with the right adapter its labels cost 1 and are hit; with the
// average 2, with a wrong one 3, without one 4.
type reader struct{ compute.Backend }

func (reader) Info() compute.Info { return compute.Info{} }

func (reader) Do(_ context.Context, b *compute.Request) (*compute.Response, error) {
	res := &compute.Response{}
	for _, s := range b.Sequences {
		nll := float32(4)
		if s.Adapter >= 0 {
			switch b.Adapters[s.Adapter].Layers[0][adapter.QProj].A[0] {
			case float32(s.Tokens[0]):
				nll = 1
			case -1:
				nll = 2
			default:
				nll = 3
			}
		}
		var nlls []float32
		var best []int32
		for _, l := range s.Labels {
			nlls = append(nlls, nll)
			if nll > 1 {
				l.Target++
			}
			best = append(best, l.Target)
		}
		res.NLL, res.Argmax = append(res.NLL, nlls), append(res.Argmax, best)
	}
	return res, nil
}

func signedRepositories(n int) []*Repository {
	var repos []*Repository
	for i := range n {
		id := int32(i)
		repos = append(repos, &Repository{Name: "a/b", Representation: &embedding.Representation{Files: i},
			Windows: []Window{{Tokens: []int32{id, 5, 6, 7, 8}, Tasks: []Span{{1, 2}, {3, 5}}}}})
	}
	return repos
}

func TestAuditShowsOwn(t *testing.T) {
	a := Auditor{Base: reader{}, Leaves: func(int32) bool { return true }}
	got, err := a.Audit(context.Background(), signed{}, signedRepositories(5), true)
	if err != nil {
		t.Fatal(err)
	}
	fixed := func(x float64) Estimate { return Estimate{x, x, x} }
	want := &Audit{Repositories: 5, Tasks: 10,
		Base:        &Score{fixed(0), fixed(4)},
		Own:         Score{fixed(1), fixed(1)},
		Average:     Score{fixed(0), fixed(2)},
		Stranger:    Score{fixed(0), fixed(3)},
		OwnAverage:  Score{fixed(1), fixed(-1)},
		OwnStranger: Score{fixed(1), fixed(-2)},
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	// What follows a target has to leave it; at the end of a window nothing does.
	a.Leaves = func(int32) bool { return false }
	got, err = a.Audit(context.Background(), signed{}, signedRepositories(5), false)
	if err != nil {
		t.Fatal(err)
	}
	if got.Own.ExactMatch != fixed(0.5) {
		t.Errorf("exact match %v if nothing leaves, want 0.5: the second target ends its window", got.Own.ExactMatch)
	}
}

func TestSummarize(t *testing.T) {
	// Two repositories, of 0 and 1: a sample has both, or one twice.
	two := []tally{{tasks: 10, exact: 0, nll: 10, tokens: 10}, {tasks: 10, exact: 10, nll: 30, tokens: 10}}
	got := summarize(two, nil)
	if want := (Score{Estimate{0.5, 0, 1}, Estimate{2, 1, 3}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Tasks and tokens count alike, whichever repository they are of.
	uneven := []tally{{tasks: 30, exact: 30, nll: 10, tokens: 40}, {tasks: 10, exact: 0, nll: 50, tokens: 20}}
	got = summarize(uneven, nil)
	if got.ExactMatch.Mean != 0.75 || got.CrossEntropy.Mean != 1 {
		t.Errorf("means %g and %g, want 0.75 and 1", got.ExactMatch.Mean, got.CrossEntropy.Mean)
	}
	// The difference is paired: what both have in common cancels.
	minus := []tally{{tasks: 10, exact: 0, nll: 15, tokens: 10}, {tasks: 10, exact: 10, nll: 35, tokens: 10}}
	if got, want := summarize(two, minus), (Score{Estimate{}, Estimate{-0.5, -0.5, -0.5}}); got != want {
		t.Errorf("paired: got %+v, want %+v", got, want)
	}

	// The interval of the mean of n values of variance s² is 3.92 s/√n wide.
	var many []tally
	for i := range 100 {
		many = append(many, tally{tasks: 1, exact: float64(i % 2), nll: float64(i % 2), tokens: 1})
	}
	got = summarize(many, nil)
	if w := got.ExactMatch.High - got.ExactMatch.Low; math.Abs(w-0.196) > 0.03 {
		t.Errorf("interval %v is %.3f wide, want 0.196", got.ExactMatch, w)
	}
	if e := got.CrossEntropy; !(e.Low < e.Mean && e.Mean < e.High) {
		t.Errorf("interval %v does not contain its mean", e)
	}
	if again := summarize(many, nil); again != got {
		t.Errorf("%+v and then %+v", got, again)
	}
	// A repository without tasks makes no hole.
	data, err := json.Marshal(summarize([]tally{{}, two[1]}, nil))
	if err != nil || !strings.Contains(string(data), `"mean":1`) {
		t.Errorf("with an empty repository: %s, %v", data, err)
	}
	if got := (Estimate{0.5, 0.25, 0.75}).String(); got != "0.5000 [0.2500, 0.7500]" {
		t.Errorf("got %s", got)
	}
}
