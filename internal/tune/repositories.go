package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/train"
)

// RepositoriesFile is the record of a job of the target repositories.
const RepositoriesFile = "repositories.json"

// Repositories is what the adapters of single repositories came to.
type Repositories struct {
	Options      Options            `json:"options"`
	OwnOfTest    bool               `json:"own_tasks_of_test,omitempty"`
	Fitted       int                `json:"fitted"`
	Failed       int                `json:"failed"`
	WithoutTasks int                `json:"without_tasks"`
	Seconds      float64            `json:"seconds"`
	Repositories []RepositoryResult `json:"repositories"` // by name, all of them
}

// RepositoryResult is one repository of a job.
type RepositoryResult struct {
	Repository string  `json:"repository"`
	Dir        string  `json:"dir,omitempty"`   // in the job's folder
	Error      string  `json:"error,omitempty"` // why there is no adapter
	Result     *Result `json:"result,omitempty"`
}

// noTasks is the Error of a repository without training tasks.
const noTasks = "no training tasks of its own"

// perRepository fits an adapter for each repository.
func (j *Job) perRepository(ctx context.Context, dir string, points []Point) (*Outcome, error) {
	split, out := dataset.Train, &Outcome{Dir: dir}
	if j.OwnOfTest {
		split, dir = dataset.Test, filepath.Join(dir, ownDir)
		out.Dir = dir
	}
	names, err := j.trained(split)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the data have no repository of the %s split", split)
	}
	best := points[0]
	if len(points) > 1 {
		some := pick(names, j.Config.GridRepositories)
		g, err := j.grid(ctx, dir, points, func(ctx context.Context, p Point, dir string) (*Tried, error) {
			return j.tryRepositories(ctx, p, dir, some)
		})
		if err != nil {
			return nil, err
		}
		out.Grid, best = g, points[g.Best]
	}
	all, err := j.fitAll(ctx, best, dir, names)
	if err != nil {
		return nil, err
	}
	out.Repositories = all
	if all.Fitted == 0 {
		return nil, fmt.Errorf("none of %d repositories could be fitted, see %s", len(names), filepath.Join(dir, RepositoriesFile))
	}
	return out, nil
}

// tryRepositories fits some repositories with the options of a point; its
// validation is that of all their own tasks together.
func (j *Job) tryRepositories(ctx context.Context, p Point, dir string, names []string) (*Tried, error) {
	all, err := j.fitAll(ctx, p, dir, names)
	if err != nil {
		return nil, err
	}
	t := &Tried{Repositories: all.Repositories}
	var tasks float64
	for _, r := range all.Repositories {
		if r.Error != "" && r.Error != noTasks {
			return nil, fmt.Errorf("%s: %s", r.Repository, r.Error)
		}
		if r.Result == nil || r.Result.Validation == nil {
			continue
		}
		v, n := r.Result.Validation, float64(r.Result.Validation.Tasks)
		t.Validation.ExactMatch += n * v.ExactMatch
		t.Validation.CrossEntropy += n * v.CrossEntropy
		tasks += n
		if err := os.RemoveAll(AdapterDir(filepath.Join(dir, r.Dir))); err != nil {
			return nil, err
		}
	}
	if tasks == 0 {
		return nil, fmt.Errorf("none of %d repositories has validation tasks of its own to choose by", len(names))
	}
	t.Validation = train.Total{Tasks: int(tasks), ExactMatch: t.Validation.ExactMatch / tasks, CrossEntropy: t.Validation.CrossEntropy / tasks}
	return t, nil
}

// fitAll fits an adapter for each of the named repositories, in folders called
// owner+name, and keeps account of them. One that fails is counted, with the
// reason, and the others are fitted all the same.
func (j *Job) fitAll(ctx context.Context, p Point, dir string, names []string) (*Repositories, error) {
	all := &Repositories{Options: p.Options, OwnOfTest: j.OwnOfTest}
	for i, name := range names {
		j.Report("%s: %d of %d repositories", name, i+1, len(names))
		r := RepositoryResult{Repository: name, Dir: FolderOf(name)}
		res, err := j.fitOwn(ctx, p, filepath.Join(dir, r.Dir), name)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			j.Report("%s failed: %v", name, err)
			r.Error, r.Dir = err.Error(), ""
			all.Failed++
		case res == nil:
			r.Error, r.Dir = noTasks, ""
			all.WithoutTasks++
		default:
			r.Result = res
			all.Fitted++
			all.Seconds += res.Seconds
		}
		all.Repositories = append(all.Repositories, r)
		if err := writeJSON(filepath.Join(dir, RepositoriesFile), all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fitOwn fits a repository's own training tasks, and chooses by its own
// validation tasks. The result is nil if there are no training tasks.
func (j *Job) fitOwn(ctx context.Context, p Point, dir, name string) (*Result, error) {
	training, err := j.cut([]string{name}, j.Config.Data.TrainTasks, dataset.Train)
	if err != nil || len(training) == 0 {
		return nil, err
	}
	var validation []*Repository
	if !j.OwnOfTest {
		if validation, err = j.cut([]string{name}, j.Config.Data.ValidationTasks, dataset.Validation); err != nil {
			return nil, err
		}
	}
	return j.fit(ctx, p, dir, training, validation, adapter.Provenance{Repository: name, Commit: j.Corpus.Commit(name)})
}
