package train

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
)

const vocab = 29

func tinyModel(t *testing.T) *model.Model {
	t.Helper()
	m, err := model.NewRandom(model.Config{
		ModelType: "llama", HiddenSize: 12, IntermediateSize: 10, NumHiddenLayers: 2, NumAttentionHeads: 2,
		NumKeyValueHeads: 1, HeadDim: 6, VocabSize: vocab, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5,
		RopeTheta: 1000, TieWordEmbeddings: true,
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func local(m *model.Model) compute.Backend { return &compute.Local{Model: m, Base: "tiny"} }

// repositories are n repositories with two targets per window. Every target of
// one is the same token, which its representation gives away.
func repositories(seed uint64, n int) []*Repository {
	rng := rand.New(rand.NewPCG(seed, 3))
	var repos []*Repository
	for range n {
		secret := rng.IntN(4)
		v := make([]float32, 12)
		for i := range v {
			v[i] = float32(0.3*rng.NormFloat64() + 1)
		}
		v[secret] += 3
		r := &Repository{Name: "owner/" + string(rune('a'+len(repos))), Representation: &embedding.Representation{
			Encoder: "test", Tensors: map[string]embedding.Tensor{embedding.Repository: {Shape: []int{12}, Data: v}}}}
		for range 3 + rng.IntN(3) {
			ids := make([]int32, 8+rng.IntN(8))
			for i := range ids {
				ids[i] = int32(rng.IntN(vocab))
			}
			ids[3], ids[6], ids[7] = int32(secret), int32(secret), int32(secret)
			r.Windows = append(r.Windows, Window{Tokens: ids, Tasks: []Span{{3, 4}, {6, 8}}})
		}
		repos = append(repos, r)
	}
	return repos
}

// headOptions are those of a small head with everything trainable.
func headOptions() map[string]any {
	return map[string]any{"rank": 2, "alpha": 4, "coefficients": 3, "input": map[string]any{"components": 4}}
}

func newHead(t *testing.T, m *model.Model, repos []*Repository, options map[string]any) hypernet.Head {
	t.Helper()
	head, err := hypernet.New(hypernet.FactoredKind, options,
		hypernet.Setup{Dims: m.Config.Dims(), Inputs: hypernet.InputsOf(repos[0].Representation)})
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Fit(Representations(repos)); err != nil {
		t.Fatal(err)
	}
	head.Init(1)
	return head
}

// options make runs of twelve to fifteen steps.
func options() Options {
	o := DefaultOptions()
	o.Epochs, o.LearningRate, o.TokensPerShare, o.SharesPerStep, o.Accumulate = 3, 0.02, 40, 3, 2
	o.ValidateEvery, o.SaveEvery, o.Patience = 4, 3, 0
	return o
}

// newRun is what a new process would make of the same configuration.
func newRun(t *testing.T, o Options) *Run {
	t.Helper()
	m, repos := tinyModel(t), repositories(1, 6)
	return &Run{Options: o, Head: newHead(t, m, repos, headOptions()), Base: local(m), Train: repos, Validation: repositories(2, 3),
		Leaves: func(id int32) bool { return id < 10 }}
}

// do runs in a folder as a job does, and keeps the best head there.
func do(ctx context.Context, r *Run, dir string, report func(Progress)) error {
	best := func(Progress) error {
		return hypernet.Save(filepath.Join(dir, CheckpointFile), r.Checkpoint(hypernet.Info{Name: "test"}), safetensors.F16)
	}
	if report == nil {
		report = func(Progress) {}
	}
	return r.Do(ctx, dir, filepath.Join(dir, metricsFile), best, report)
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

var rate = regexp.MustCompile(`"per_second":[^,}]*`)

// contents are the files of a run, by name; the metrics without rates.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range []string{stateFile, CheckpointFile, metricsFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = rate.ReplaceAllString(string(data), "")
	}
	return files
}
