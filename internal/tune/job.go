package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/memory"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/score"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// Deps is what a job needs beside its configuration and its data.
type Deps struct {
	Base      adapter.Base
	Backend   compute.Backend
	Model     *model.Model // whose memory is checked, and whose lower layers are kept; may be nil
	Trunk     string       // folder for trunk_cache; "" is one of the program's
	Tokenizer *tokenizer.Tokenizer
	Tool      string // program and version
	// Report tells what is being fitted; Progress each step of it. Both may be nil.
	Report   func(format string, args ...any)
	Progress func(name string, p Progress)
}

// Job is a configuration with its data.
type Job struct {
	Config *Config
	Corpus *corpus.Corpus
	Deps
	// OwnOfTest makes a job of the target repositories fit those of the test
	// split instead, each on its own in-repository training tasks: what a user
	// could do with his own repository. It needs a single set of options, takes
	// their last step, and puts the results into a folder of their own.
	OwnOfTest bool
}

// ownDir is the folder of the adapters that Job.OwnOfTest makes.
const ownDir = "own-tasks-of-test"

// Outcome is what a job came to: one of its fields.
type Outcome struct {
	Shared       *Result       `json:"shared,omitempty"`
	Repositories *Repositories `json:"repositories,omitempty"`
	Grid         *Grid         `json:"grid,omitempty"` // how the options were chosen
	Dir          string        `json:"dir"`
}

// Do does the job in its folder, or continues there.
func (j *Job) Do(ctx context.Context) (*Outcome, error) {
	if j.Report == nil {
		j.Report = func(string, ...any) {}
	}
	if j.Progress == nil {
		j.Progress = func(string, Progress) {}
	}
	points := j.Config.Points()
	if j.OwnOfTest && (j.Config.Target != PerRepository || len(points) > 1) {
		return nil, fmt.Errorf("own tasks of test repositories: want target %s, and no grid: nothing may be chosen by them", PerRepository)
	}
	if tracks := j.Corpus.Tracks(); j.OwnOfTest && len(tracks) > 1 {
		// Each track divides a repository by itself.
		return nil, fmt.Errorf("own tasks of test repositories: want one track in data.tracks, not %q: what is a training task of one is a test task of another", tracks)
	}
	dir := j.Config.Dir()
	unlock, ok, err := store.TryLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: another process does this job", dir)
	}
	defer unlock()
	if j.Config.Target == PerRepository {
		return j.perRepository(ctx, dir, points)
	}
	return j.shared(ctx, dir, points)
}

// shared fits one adapter for all training repositories.
func (j *Job) shared(ctx context.Context, dir string, points []Point) (*Outcome, error) {
	data := j.Config.Data
	trained, err := j.trained(dataset.Train)
	if err != nil {
		return nil, err
	}
	training, err := j.cut(trained, data.TrainTasks, dataset.Train)
	if err != nil {
		return nil, err
	}
	names := pick(j.ofSplit(dataset.Validation), data.ValidationRepositories)
	validation, err := j.cut(names, data.ValidationTasks)
	if err != nil {
		return nil, err
	}
	if len(training) == 0 || len(points) > 1 && len(validation) == 0 {
		return nil, fmt.Errorf("%d training and %d validation repositories have tasks: want at least one to train on, and for a grid one to choose by",
			len(training), len(validation))
	}
	j.Report("%d repositories, %d tasks to train on; %d and %d to choose by", len(training), NumTasks(training), len(validation), NumTasks(validation))
	fit := func(ctx context.Context, p Point, dir string) (*Result, error) {
		return j.fit(ctx, p, dir, training, validation, adapter.Provenance{})
	}
	if len(points) == 1 {
		r, err := fit(ctx, points[0], dir)
		return &Outcome{Shared: r, Dir: dir}, err
	}
	g, err := j.grid(ctx, dir, points, func(ctx context.Context, p Point, dir string) (*Tried, error) {
		r, err := fit(ctx, p, dir)
		if err != nil {
			return nil, err
		}
		return &Tried{Result: r, Validation: *r.Validation}, nil
	})
	if err != nil {
		return nil, err
	}
	best := g.Points[g.Best]
	if err := keepBest(filepath.Join(dir, gridDir, best.Name), dir); err != nil {
		return nil, err
	}
	return &Outcome{Shared: best.Result, Grid: g, Dir: dir}, nil
}

// fit fits one adapter in a folder.
func (j *Job) fit(ctx context.Context, p Point, dir string, training, validation []*Repository, from adapter.Provenance) (*Result, error) {
	precision, err := kernel.ParsePrecision(p.Options.Precision)
	if err != nil {
		return nil, err
	}
	if have := j.Backend.Info().Precision; have != precision {
		return nil, fmt.Errorf("fit.precision %s: the base computes in %s here: %w", precision, have, compute.ErrPrecision)
	}
	from.Base, from.Tool, from.Checkpoint = j.Base, j.Tool, j.Config.Name
	data := []any{j.Corpus.Digest(), j.Config.Data}
	var begin *adapter.Adapter
	if j.Config.Begin != "" {
		info := j.Backend.Info()
		dims := info.Config.Dims()
		if begin, err = adapter.Read(j.Config.relative(j.Config.Begin), &dims); err != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
		data = append(data, adapter.Digest(begin))
	}
	identity, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(dir)
	base, err := j.backend(&p.Options)
	if err != nil {
		return nil, err
	}
	f := &Fit{Options: p.Options, Base: base, Model: j.Model, Train: training, Validation: validation, EOS: -1,
		Leaves:   func(id int32) bool { return score.Leaves(j.Tokenizer, id) },
		Identity: string(identity), Provenance: from, OwnOfTest: j.OwnOfTest, Begin: begin}
	if eos := j.Tokenizer.EOS(); eos >= 0 && j.Tokenizer.IsEOG(eos) {
		f.EOS = eos
	}
	return f.Run(ctx, dir, func(p Progress) { j.Progress(name, p) })
}

// backend answers the requests of a fit: with the layers below the lowest adapted
// one read from disk, if the configuration wants that and there are some.
func (j *Job) backend(o *Options) (compute.Backend, error) {
	layer := 0
	if o.Layers > 0 {
		layer = j.Backend.Info().Config.NumHiddenLayers - o.Layers
	}
	if j.Config.TrunkCache == "" || layer <= 0 || j.Model == nil {
		return j.Backend, nil
	}
	most, err := memory.ParseSize(j.Config.TrunkCache)
	if err != nil {
		return nil, err
	}
	dir := j.Trunk
	if dir == "" {
		dir = filepath.Join(store.Root(), "trunk")
	}
	return compute.NewTrunk(j.Backend, j.Model, dir, layer, most, j.Report)
}

// ofSplit lists the repositories of a split.
func (j *Job) ofSplit(split dataset.Split) []string {
	return slices.DeleteFunc(j.Corpus.Repositories(), func(name string) bool { return dataset.SplitOf(name) != split })
}

// trained lists the repositories of a split that the configuration wants.
func (j *Job) trained(split dataset.Split) ([]string, error) {
	all, want := j.ofSplit(split), j.Config.Data.Repositories
	if len(want) == 0 {
		return all, nil
	}
	var names []string
	for _, name := range want {
		i := slices.IndexFunc(all, func(s string) bool { return strings.EqualFold(s, name) })
		if i < 0 {
			return nil, fmt.Errorf("data.repositories: the data have no repository %q of the %s split", name, split)
		}
		names = append(names, all[i])
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// cut cuts the tasks of repositories into windows, and leaves out those without.
func (j *Job) cut(names []string, most int, parts ...dataset.Split) ([]*Repository, error) {
	var repos []*Repository
	for _, name := range names {
		r, err := Cut(j.Tokenizer, name, j.Corpus.Documents(name, parts...), j.Config.Data.WindowOptions, most)
		if err != nil {
			return nil, err
		}
		if len(r.Files) > 0 {
			repos = append(repos, r)
		}
	}
	return repos, nil
}

// pick chooses n names (0: all); which ones depends on the list alone.
func pick(names []string, n int) []string {
	if n == 0 || n >= len(names) {
		return names
	}
	perm := rand.New(rand.NewPCG(1, 0xda7a)).Perm(len(names))[:n]
	slices.Sort(perm)
	some := make([]string, n)
	for i, at := range perm {
		some[i] = names[at]
	}
	return some
}

// keepBest puts the adapter of a point into the job's folder.
func keepBest(point, dir string) error {
	a, err := adapter.ReadNative(AdapterDir(point))
	if errors.Is(err, os.ErrNotExist) {
		_, err = os.Stat(AdapterDir(dir)) // it was kept before
		return err
	}
	if err != nil {
		return err
	}
	r, err := ReadResult(point)
	if err != nil {
		return err
	}
	if err := adapter.WriteNative(AdapterDir(dir), a, adapter.Options{DType: dtype(&r.Options)}); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, ResultFile), r); err != nil {
		return err
	}
	return os.RemoveAll(AdapterDir(point))
}

// FolderOf is the name of a repository's folder: owner+name.
func FolderOf(repository string) string { return strings.ReplaceAll(repository, "/", "+") }
