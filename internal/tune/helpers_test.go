package tune

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/train"
)

const vocab = 29

// tinyModel has attention that is wider than the residual stream, so that o_proj
// differs from the projections that read it.
func tinyModel(t *testing.T) *model.Model {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: "llama", HiddenSize: 12, IntermediateSize: 10, NumHiddenLayers: 2, NumAttentionHeads: 2,
		NumKeyValueHeads: 1, HeadDim: 8, VocabSize: vocab, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5,
		RopeTheta: 1000, TieWordEmbeddings: true,
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Names of repositories in the splits that the rule gives them.
var names3 = map[dataset.Split][]string{
	dataset.Train:      {"acme/a", "acme/c"},
	dataset.Validation: {"acme/b", "acme/j"},
	dataset.Test:       {"acme/d", "acme/e"},
}

// repositories have two targets per window, which are always the same tokens.
func repositories(seed uint64, names ...string) []*Repository {
	rng := rand.New(rand.NewPCG(seed, 3))
	var repos []*Repository
	for _, name := range names {
		r := &Repository{Name: name}
		for range 3 {
			var file []train.Window
			for range 1 + rng.IntN(2) {
				ids := make([]int32, 9+rng.IntN(8))
				for i := range ids {
					ids[i] = int32(rng.IntN(vocab))
				}
				ids[3], ids[6], ids[7], ids[8] = 2, 3, 2, 1
				file = append(file, train.Window{Tokens: ids, Tasks: []train.Span{{From: 3, To: 4}, {From: 6, To: 8}}})
			}
			r.Files = append(r.Files, file)
		}
		repos = append(repos, r)
	}
	return repos
}

// options make fits of about a dozen steps.
func options(method string) Options {
	o := DefaultOptions(method)
	o.Epochs, o.LearningRate, o.TokensPerStep, o.TokensPerPass = 6, 0.02, 40, 24
	o.ValidateEvery, o.SaveEvery, o.Patience = 4, 3, 0
	if method == Full {
		o.Layers = 1
	} else {
		o.Rank = 2
	}
	return o
}

func newFit(t *testing.T, o Options) *Fit {
	t.Helper()
	return &Fit{Options: o, Base: &compute.Local{Model: tinyModel(t), Base: "tiny"}, EOS: 0,
		Train: repositories(1, names3[dataset.Train]...), Validation: repositories(2, names3[dataset.Validation]...),
		Leaves: func(id int32) bool { return id < 2 }}
}

// interrupting calls a function before the n-th gradient.
type interrupting struct {
	compute.Backend
	n     int64
	do    func()
	calls atomic.Int64
}

func (g *interrupting) Do(ctx context.Context, r *compute.Request) (*compute.Response, error) {
	if r.Operation == compute.Gradient && g.calls.Add(1) == g.n {
		g.do()
	}
	return g.Backend.Do(ctx, r)
}

// diverging is a backend whose gradients are no numbers.
type diverging struct{ compute.Backend }

func (d diverging) Do(ctx context.Context, r *compute.Request) (*compute.Response, error) {
	res, err := d.Backend.Do(ctx, r)
	if err == nil && r.Operation == compute.Gradient {
		res.Grads[0].Pairs()[0].B[0] = float32(math.NaN())
	}
	return res, err
}

var rate = regexp.MustCompile(`"(per_second|seconds)": ?[^,}]*`)

// contents are the files in a folder, without times.
func contents(t *testing.T, dir string, files ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = rate.ReplaceAllString(string(data), "")
	}
	return all
}

var fitFiles = []string{"adapter/adapter.safetensors", "adapter/code2lora.json", "metrics.jsonl", "tune.json"}
