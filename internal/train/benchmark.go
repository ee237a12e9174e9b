package train

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// source is where the tasks of a configuration come from: repositories, and a
// benchmark which has their tasks, or nil if they are mined.
type source struct {
	list      []Listed
	benchmark *repopeft.Benchmark
	filter    repopeft.Filter
}

// source reads the table of repositories, opens the benchmark, or does both. A
// table beside a benchmark chooses some of its repositories; those that it
// doesn't have are reported and left out.
func (c *Config) source(report func(format string, args ...any)) (*source, error) {
	s := &source{}
	var err error
	if c.Repositories != "" {
		if s.list, err = ReadRepositories(c.RepositoriesPath()); err != nil {
			return nil, err
		}
	}
	if c.Data.Benchmark == "" {
		return s, nil
	}
	if s.filter, err = c.Data.filter(); err != nil {
		return nil, err
	}
	if s.benchmark, err = repopeft.Open(c.BenchmarkDir()); err != nil {
		return nil, err
	}
	listed := map[string]Listed{}
	for _, l := range s.list {
		listed[strings.ToLower(l.Name)] = l
	}
	s.list = nil
	for _, r := range s.benchmark.Manifest.Repositories {
		key := strings.ToLower(r.Name)
		l, ok := listed[key]
		delete(listed, key)
		if !ok && c.Repositories != "" {
			continue
		}
		if ok && l.Commit != r.Commit {
			return nil, fmt.Errorf("%s: %s is listed at commit %s, and the benchmark %s has it at %s: list that one",
				c.RepositoriesPath(), l.Name, l.Commit, c.BenchmarkDir(), r.Commit)
		}
		s.list = append(s.list, Listed{Name: r.Name, Split: dataset.SplitOf(r.Name), Commit: r.Commit})
	}
	for _, l := range listed {
		report("%s: not in the benchmark %s", l.Name, c.BenchmarkDir())
	}
	if len(s.list) == 0 {
		return nil, fmt.Errorf("benchmark %s has none of the repositories of %s", c.BenchmarkDir(), c.RepositoriesPath())
	}
	return s, nil
}

// ofSplit returns the repositories of one split.
func (s *source) ofSplit(split dataset.Split) []Listed {
	return slices.DeleteFunc(slices.Clone(s.list), func(l Listed) bool { return l.Split != split })
}

// tasks reads the benchmark's tasks of the repositories of one split; nil if
// there is none, and they are mined. All parts of the repositories are read, so
// that documents are the same as for others who train on the benchmark;
// [Preparation] takes those of the part that may be trained on.
func (s *source) tasks(split dataset.Split) (*corpus.Corpus, error) {
	if s.benchmark == nil {
		return nil, nil
	}
	c := corpus.New()
	list := s.ofSplit(split)
	if len(list) == 0 {
		return c, nil
	}
	f := s.filter
	f.Splits = []dataset.Split{split}
	for _, l := range list {
		f.Repositories = append(f.Repositories, l.Name)
	}
	return c, c.AddBenchmark(s.benchmark, f, split == dataset.Test)
}

// filter selects the tasks of a benchmark. Nothing is trained on its track ood.
func (o *DataOptions) filter() (f repopeft.Filter, err error) {
	if f.Tracks, err = corpus.Parse("tracks", o.Tracks, repopeft.Static, repopeft.Evolution); err != nil {
		return f, err
	}
	f.Kinds, err = corpus.Parse("kinds", o.Kinds, repopeft.Assertion, repopeft.Call, repopeft.Line)
	return f, err
}

// setDefaults makes those of a benchmark explicit, so that they are part of what
// identifies the data.
func (o *DataOptions) setDefaults() {
	if o.Benchmark == "" {
		return
	}
	if len(o.Tracks) == 0 {
		o.Tracks = []string{string(repopeft.Static)}
	}
	if len(o.Kinds) == 0 {
		o.Kinds = []string{string(repopeft.Assertion)}
	}
}

// validate reports every option that cannot work.
func (o *DataOptions) validate() error {
	var errs []error
	if o.WindowTokens < 16 {
		errs = append(errs, fmt.Errorf("data.window_tokens %d: want at least 16", o.WindowTokens))
	}
	least := 1
	if o.Benchmark != "" {
		least = 0 // all
		if _, err := o.filter(); err != nil {
			errs = append(errs, fmt.Errorf("data.%w", err))
		}
	} else if len(o.Tracks)+len(o.Kinds) > 0 {
		errs = append(errs, errors.New("data.tracks, data.kinds: they choose tasks of data.benchmark, which is missing"))
	}
	if o.TrainTasks < least || o.ValidationTasks < least || o.ValidationRepositories < 0 {
		errs = append(errs, fmt.Errorf("data: numbers of tasks must be at least %d, of repositories at least 0", least))
	}
	return errors.Join(errs...)
}

// BenchmarkDir is the benchmark's folder, "" without.
func (c *Config) BenchmarkDir() string {
	if c.Data.Benchmark == "" || filepath.IsAbs(c.Data.Benchmark) {
		return c.Data.Benchmark
	}
	return filepath.Join(filepath.Dir(c.path), c.Data.Benchmark)
}
