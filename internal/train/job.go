package train

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/score"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Deps is what a job needs beside its configuration.
type Deps struct {
	Base      adapter.Base
	Model     *model.Model
	Tokenizer *tokenizer.Tokenizer
	// Backend answers the requests of training and evaluation; nil: Model does, in
	// this process.
	Backend compute.Backend
	Cache   encoder.Cache // of file vectors; may be nil
	Mirrors string        // see [Preparation]
	Trunk   string        // folder for train.trunk_cache; "" is one of the program\'s
	Network bool
	Tool    string // program and version
	Report  func(format string, args ...any)
}

// Data is what a job trains and validates on.
type Data struct {
	Train, Validation []*Repository

	key string // digest of what it was prepared from
}

// LoadData prepares the repositories of a configuration, or reads what an
// earlier call prepared from the same table or benchmark, encoder and options.
func LoadData(ctx context.Context, c *Config, d Deps) (*Data, error) {
	if d.Report == nil {
		d.Report = func(string, ...any) {}
	}
	src, err := c.source(d.Report)
	if err != nil {
		return nil, err
	}
	enc, err := NewEncoder(c, d)
	if err != nil {
		return nil, err
	}
	what := []any{src.list, enc.ID(), c.Data, d.Base.SHA256, preparation}
	if src.benchmark != nil {
		what = append(what, src.benchmark.Digest)
	}
	key, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key)
	data := &Data{key: hex.EncodeToString(sum[:8])}
	path := filepath.Join(c.Dir(), "work", "data-"+data.key+".gob")
	if err := readGob(path, data); err == nil {
		return data, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		d.Report("preparing again: %v", err)
	}
	p := newPreparation(c, d, enc)
	if data.Train, err = p.ofSource(ctx, src, dataset.Train); err != nil {
		return nil, err
	}
	if data.Validation, err = p.ofSource(ctx, src, dataset.Validation); err != nil {
		return nil, err
	}
	return data, store.WriteFile(path, func(w io.Writer) error { return gob.NewEncoder(w).Encode(data) })
}

// preparation is the version of how data are prepared: of another one they are
// prepared again.
const preparation = 3

// newPreparation prepares as a configuration says.
func newPreparation(c *Config, d Deps, enc encoder.Encoder) *Preparation {
	opt := c.Encoder
	opt.Base = d.Base.SHA256
	return &Preparation{Mirrors: d.Mirrors, Network: d.Network, Work: filepath.Join(c.Dir(), "work"), Encoder: enc, Options: opt,
		Tokenizer: d.Tokenizer, Data: c.Data, Report: d.Report}
}

// ofSource prepares the repositories of one split of a source.
func (p *Preparation) ofSource(ctx context.Context, src *source, split dataset.Split) (repos []*Repository, err error) {
	if p.Tasks, err = src.tasks(split); err != nil {
		return nil, err
	}
	return p.Prepare(ctx, split, src.ofSplit(split))
}

func readGob(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// NewEncoder makes the encoder of a configuration for a base, whose context
// must hold the configuration's windows.
func NewEncoder(c *Config, d Deps) (encoder.Encoder, error) {
	if most := d.Model.MaxContext(); c.Data.WindowTokens > most {
		return nil, fmt.Errorf("configuration: data.window_tokens %d: the base's context is %d tokens", c.Data.WindowTokens, most)
	}
	opt := c.Encoder
	opt.Base = d.Base.SHA256
	return encoder.New(opt, d.Model, d.Tokenizer, d.Cache)
}

// Job is a configured training run.
type Job struct {
	Run
	config *Config
	deps   Deps
	enc    string
	trunk  *compute.Trunk // nil without
}

// NewJob prepares the data, lays out the head and initialises it.
func NewJob(ctx context.Context, c *Config, d Deps) (*Job, error) {
	if d.Report == nil {
		d.Report = func(string, ...any) {}
	}
	data, err := LoadData(ctx, c, d)
	if err != nil {
		return nil, err
	}
	if len(data.Train) == 0 {
		return nil, fmt.Errorf("%s has no training repository with tasks", cmp.Or(c.RepositoriesPath(), c.BenchmarkDir()))
	}
	for _, r := range data.Train {
		if err := dataset.CheckTraining(r.Name, dataset.Train); err != nil {
			return nil, err
		}
	}
	head, err := hypernet.New(c.Head.Kind, c.Head.Options,
		hypernet.Setup{Dims: d.Model.Config.Dims(), Inputs: hypernet.InputsOf(data.Train[0].Representation)})
	if err != nil {
		return nil, fmt.Errorf("configuration: head: %w", err)
	}
	if err := memory.Need("the hypernetwork with its gradients and moments", 16*int64(hypernet.NumParameters(head)),
		"choose a smaller head in the configuration, or close other programs"); err != nil {
		return nil, err
	}
	if err := head.Fit(Representations(data.Train)); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	head.Init(c.Train.Seed)
	validation := data.Validation
	if n := c.Data.ValidationRepositories; n > 0 && n < len(validation) {
		validation = pick(validation, n, c.Train.Seed)
	}
	base, trunk, err := d.backend(c, head)
	if err != nil {
		return nil, err
	}
	return &Job{config: c, trunk: trunk, deps: d, enc: data.Train[0].Representation.Encoder, Run: Run{
		Options: c.Train, Identity: c.Digest() + " " + data.key, Head: head, Base: base, Train: data.Train, Validation: validation,
		Leaves: func(id int32) bool { return score.Leaves(d.Tokenizer, id) },
	}}, nil
}

// pick chooses n repositories at random.
func pick[T any](repos []T, n int, seed uint64) []T {
	perm := rand.New(rand.NewPCG(seed, 0xda7a)).Perm(len(repos))[:n]
	slices.Sort(perm)
	out := make([]T, n)
	for i, j := range perm {
		out[i] = repos[j]
	}
	return out
}

// Counts returns the numbers of repositories and of their tasks.
func (j *Job) Counts() (train, tasks, validation, validationTasks int) {
	return len(j.Train), NumTasks(j.Train), len(j.Validation), NumTasks(j.Validation)
}

// Do trains; the best head is kept in the run's folder. See [Run.Do]. A
// processor without the configured precision computes in float32 and says so;
// precision changes results in their last places, speed by much.
func (j *Job) Do(ctx context.Context, report func(Progress)) error {
	restore, err := j.deps.setPrecision(j.config, j.Base)
	if err != nil {
		return err
	}
	defer restore()
	if err := j.needMemory(); err != nil {
		return err
	}
	dir := j.config.Dir()
	best := func(p Progress) error {
		loss := p.Validation.Own.CrossEntropy.Mean
		c := j.Checkpoint(hypernet.Info{
			Name: j.config.Name, Base: j.deps.Base, Encoder: j.enc, Config: j.config.Digest(),
			Tool: j.deps.Tool, ValidationLoss: &loss, SpaceWithTarget: j.config.Data.SpaceWithTarget,
		})
		return hypernet.Save(filepath.Join(dir, CheckpointFile), c, safetensors.F16)
	}
	defer j.deps.reportTrunk(j.trunk)
	return j.Run.Do(ctx, filepath.Join(dir, "work"), filepath.Join(dir, metricsFile), best, report)
}

// setPrecision computes in a configuration's precision from now on, if the
// processor can, and until restore is called.
func (d *Deps) setPrecision(c *Config, base compute.Backend) (restore func(), err error) {
	precision, err := kernel.ParsePrecision(c.Train.Precision)
	if err != nil {
		return nil, err
	}
	if err := kernel.SetPrecision(precision); err != nil {
		d.Report("training in float32: %v", err)
	}
	restore = func() { _ = kernel.SetPrecision(kernel.Float32) } // which every processor has
	if have, want := base.Info().Precision, kernel.CurrentPrecision(); have != want {
		restore()
		return nil, fmt.Errorf("backend: %w: it computes in %s, and train.precision gives %s here", compute.ErrPrecision, have, want)
	}
	return restore, nil
}

// reportTrunk says what a trunk has saved.
func (d *Deps) reportTrunk(t *compute.Trunk) {
	if t != nil {
		s := t.Stats()
		d.Report("lower layers of %d tokens read from disk, of %d computed", s.Read, s.Computed)
	}
}
