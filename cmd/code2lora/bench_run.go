package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/method"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/retrieve"
	"github.com/code2lora/code2lora/internal/store"
)

// suite says which tasks of a benchmark are meant.
type suite struct {
	Tracks        []string `json:"tracks"`
	Splits        []string `json:"splits"`
	InRepo        []string `json:"in_repo,omitempty"`
	Kinds         []string `json:"kinds"`
	Languages     []string `json:"languages,omitempty"`
	Repositories  []string `json:"repositories,omitempty"`
	PerRepository int      `json:"per_repository,omitempty"`
	PerFile       int      `json:"per_file,omitempty"`
}

func (s *suite) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&s.Tracks, "track", []string{string(repopeft.Static)}, "tasks of these `TRACKS`: static, evolution, ood")
	f.StringSliceVar(&s.Splits, "split", []string{string(dataset.Test)}, "tasks of repositories of these `SPLITS`: train, validation, test")
	f.StringSliceVar(&s.InRepo, "in-repo", nil, "tasks with these `SPLITS` inside of their repository (default: all)")
	f.StringSliceVar(&s.Kinds, "kind", []string{string(repopeft.Assertion)}, "tasks of these `KINDS`: assertion, call, line")
	f.StringSliceVar(&s.Languages, "language", nil, "tasks in these `LANGUAGES` (default: all)")
	f.StringSliceVar(&s.Repositories, "repository", nil, "tasks of these `REPOSITORIES` (default: all)")
	f.IntVar(&s.PerRepository, "per-repository", 0, "at most `N` tasks of each repository, the same ones every time (default: all)")
	f.IntVar(&s.PerFile, "per-file", 0, "at most `N` tasks of each file at each commit; a few of one file cost less than as many of several (default: all)")
}

// filter is the suite as the benchmark understands it.
func (s *suite) filter() (repopeft.Filter, error) {
	var f repopeft.Filter
	var err error
	check := func(flag string, values []string, known ...string) {
		for _, v := range values {
			if !slices.Contains(known, v) && err == nil {
				err = fmt.Errorf("%w: --%s %q: want one of %s", errUsage, flag, v, strings.Join(known, ", "))
			}
		}
	}
	check("track", s.Tracks, string(repopeft.Static), string(repopeft.Evolution), string(repopeft.OOD))
	check("split", s.Splits, string(dataset.Train), string(dataset.Validation), string(dataset.Test))
	check("in-repo", s.InRepo, string(dataset.Train), string(dataset.Validation), string(dataset.Test))
	check("kind", s.Kinds, string(repopeft.Assertion), string(repopeft.Call), string(repopeft.Line))
	if (s.PerRepository < 0 || s.PerFile < 0) && err == nil {
		err = fmt.Errorf("%w: --per-repository %d, --per-file %d: want 0 or more", errUsage, s.PerRepository, s.PerFile)
	}
	f.Tracks, f.Splits, f.InRepo, f.Kinds = as[repopeft.Track](s.Tracks), as[dataset.Split](s.Splits), as[dataset.Split](s.InRepo), as[repopeft.Kind](s.Kinds)
	f.Languages, f.Repositories = s.Languages, s.Repositories
	return f, err
}

func as[T ~string](values []string) []T {
	var out []T
	for _, v := range values {
		out = append(out, T(v))
	}
	return out
}

// tasks reads the tasks of a suite. Where there are more than wanted, files and
// the tasks in them are taken in the order of digests: an arbitrary choice, and
// the same for all methods.
func (s *suite) tasks(b *repopeft.Benchmark) ([]*repopeft.Task, error) {
	f, err := s.filter()
	if err != nil {
		return nil, err
	}
	byRepository := map[string][]*repopeft.Task{}
	for t, err := range b.Tasks(f) {
		if err != nil {
			return nil, unusable(err)
		}
		byRepository[t.Repository] = append(byRepository[t.Repository], t)
	}
	var all []*repopeft.Task
	for _, tasks := range byRepository {
		all = append(all, s.choose(tasks)...)
	}
	if len(all) == 0 {
		return nil, unusable(errors.New("the benchmark has no such tasks: see its manifest.json for what it has"))
	}
	slices.SortFunc(all, func(a, b *repopeft.Task) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// choose takes as many tasks of a repository as wanted.
func (s *suite) choose(tasks []*repopeft.Task) []*repopeft.Task {
	if s.PerRepository == 0 && s.PerFile == 0 {
		return tasks
	}
	files := map[string]string{}
	for _, t := range tasks {
		name := t.Repository + "\x00" + t.Commit + "\x00" + t.File
		sum := sha256.Sum256([]byte(name))
		files[t.ID] = string(sum[:])
	}
	slices.SortFunc(tasks, func(a, b *repopeft.Task) int {
		return cmp.Or(cmp.Compare(files[a.ID], files[b.ID]), cmp.Compare(a.ID, b.ID))
	})
	var chosen []*repopeft.Task
	inFile := map[string]int{}
	for _, t := range tasks {
		if s.PerRepository > 0 && len(chosen) == s.PerRepository {
			break
		}
		if s.PerFile > 0 && inFile[files[t.ID]] == s.PerFile {
			continue
		}
		inFile[files[t.ID]]++
		chosen = append(chosen, t)
	}
	return chosen
}

// digestOf identifies the tasks of a suite.
func digestOf(tasks []*repopeft.Task) string {
	h := sha256.New()
	for _, t := range tasks {
		io.WriteString(h, t.ID)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// benchRunOptions are the flags of bench run.
type benchRunOptions struct {
	suite
	base, mirrors, out string
	methods, levels    []string
	read               []string // languages
	layout             method.Layout
	newTokens          int
	texts, network     bool
}

func (a *app) benchRunCmd() *cobra.Command {
	var o benchRunOptions
	c := &cobra.Command{
		Use:   "run BENCHMARK --method METHOD... -o DIR",
		Short: "Run methods on tasks of a benchmark",
		Long: `Run methods on tasks of a benchmark that "bench mine" wrote. Each method and level
of disclosure gets a folder below DIR with its settings and a prediction for each
task; one that was cut continues, one that is finished is left alone.

Methods:

  ` + strings.Join(method.Names(), "\n  ") + `

Two can be joined by "+", the first for the adapter and the second for the
context; "bm25:k={1,3,5}" stands for three methods, to sweep a setting.

At the level "production" methods see no tests, at the level "tree" everything at
the parent commit but the file that is asked about and its copies.

A target is scored in one teacher-forced pass, and decoded only where that does
not prove what greedy decoding would answer.`,
		Example: "  code2lora bench run tasks --method base --method 'bm25:k={1,3}' --level production,tree -o results",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.out == "" || len(o.methods) == 0 {
				return fmt.Errorf("%w: bench run: give methods with --method and a folder with -o DIR", errUsage)
			}
			specs, levels, err := parseMethods("bench run", o.methods, o.levels)
			if err != nil {
				return err
			}
			b, err := repopeft.Open(args[0])
			if err != nil {
				return unusable(err)
			}
			tasks, err := o.tasks(b)
			if err != nil {
				return err
			}
			base, err := a.loadBase(c.Context(), o.base)
			if err != nil {
				return err
			}
			r := &method.Runner{
				Engine: base.engine(), Base: base.compute(), Layout: o.layout, Languages: o.read, NewTokens: o.newTokens, Texts: o.texts,
				Open: opener(o.mirrors, o.network), Kept: keptCommits(b), Suite: tasks,
			}
			if err := o.layout.Validate(base.model.MaxContext(), o.newTokens); err != nil {
				return fmt.Errorf("%w: bench run: %w", errUsage, err)
			}
			var results []benchRunResult
			for _, p := range a.plan(specs, levels) {
				r.Level = p.Level
				for _, s := range p.Specs {
					res, err := a.benchRun(c, &o, b, base, r, s, tasks)
					if err != nil {
						return err
					}
					results = append(results, *res)
				}
			}
			return a.print(map[string]any{"runs": results}, func(w io.Writer) {
				for _, res := range results {
					fmt.Fprintf(w, "%-60s %-10s %5d tasks  %s\n", res.Method, res.Level, res.Tasks, res.Dir)
				}
			})
		},
	}
	o.layout = method.DefaultLayout()
	o.runFlags(c)
	f := c.Flags()
	f.StringArrayVar(&o.methods, "method", nil, "run this `METHOD`; may be repeated")
	f.StringVarP(&o.out, "output", "o", "", "write results below `DIR`")
	f.BoolVar(&o.texts, "texts", false, "decode wrong answers to their end too, which similarities need")
	return c
}

// runFlags are the flags that bench costs has, too.
func (o *benchRunOptions) runFlags(c *cobra.Command) {
	o.suite.flags(c)
	f := c.Flags()
	f.StringSliceVar(&o.levels, "level", []string{string(disclosure.Production)}, "`LEVELS` of disclosure: production, tree")
	f.StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones of the repositories")
	f.BoolVar(&o.network, "network", false, "clone repositories that are not there")
	f.StringSliceVar(&o.read, "read", []string{"python"}, "`LANGUAGES` that methods may read")
	f.IntVar(&o.layout.PrefixTokens, "prefix-tokens", o.layout.PrefixTokens, "keep at most `N` tokens of a prefix")
	f.IntVar(&o.layout.ContextTokens, "context-tokens", o.layout.ContextTokens, "give a method's context at most `N` tokens")
	f.IntVar(&o.layout.SuffixTokens, "suffix-tokens", o.layout.SuffixTokens, "show at most `N` tokens of what follows a line")
	f.BoolVar(&o.layout.RawPrefix, "raw-prefix", false, "leave the blanks at the end of prefixes, as the paper does")
	f.IntVar(&o.newTokens, "new-tokens", answerTokens, "decode at most `N` tokens")
	baseFlag(c, &o.base)
	precisionFlag(c, kernel.Int8)
}

// benchRunResult is one of the results that bench run prints with --json.
type benchRunResult struct {
	Method string `json:"method"`
	Level  string `json:"level"`
	Tasks  int    `json:"tasks"`
	Dir    string `json:"dir"`
}

// benchRun runs one method at one level, or what is left of it.
func (a *app) benchRun(c *cobra.Command, o *benchRunOptions, b *repopeft.Benchmark, base *base, r *method.Runner, s method.Spec, tasks []*repopeft.Task) (*benchRunResult, error) {
	ctx := c.Context()
	digest, err := checkpointDigest(base, s)
	if err != nil {
		return nil, err
	}
	info := repopeft.RunInfo{Tool: tool(), Command: commandLine(), Checkpoint: digest, Method: s.String(), Level: string(r.Level),
		Settings: map[string]any{"layout": r.Layout, "new_tokens": r.NewTokens, "texts": r.Texts, "read": r.Languages},
		Base:     base.info.Name, BaseSHA256: base.info.SHA256, Benchmark: b.Digest, Precision: kernel.CurrentPrecision().String(),
		Tasks: map[string]any{"suite": o.suite, "n": len(tasks), "sha256": digestOf(tasks)}}
	dir := filepath.Join(o.out, slug(s.String()+"@"+string(r.Level)))
	run, err := repopeft.CreateRun(dir, info)
	if err != nil {
		return nil, unusable(err)
	}
	defer run.Close()
	result := &benchRunResult{Method: s.String(), Level: string(r.Level), Tasks: len(tasks), Dir: dir}
	if run.Finished() {
		return result, nil
	}
	cache, err := vectorCache()
	if err != nil {
		return nil, err
	}
	m, err := a.builder(base, r, tasks, cache).Build(ctx, s)
	if err != nil && len(run.Done()) == 0 {
		err = errors.Join(err, run.Close(), os.RemoveAll(dir)) // nothing has begun
	}
	if setting := (method.SettingError{}); errors.As(err, &setting) {
		return nil, fmt.Errorf("%w: bench run: %w", errUsage, err)
	}
	if err != nil {
		return nil, err
	}
	have := run.Done()
	left := slices.DeleteFunc(slices.Clone(tasks), func(t *repopeft.Task) bool { return have[t.ID] })
	bar := a.bar()
	defer bar.done()
	r.Report = func(done int) { bar.show("%s, %s: %d of %d tasks", s, r.Level, len(have)+done, len(tasks)) }
	if err := r.Run(ctx, m, left, func(p []*repopeft.Prediction) error { return run.Append(p...) }); err != nil {
		return nil, fmt.Errorf("method %s: %w", s, err)
	}
	return result, run.Finish()
}

// builder makes methods for a base. Vectors of files are kept in the cache, if
// there is one.
func (a *app) builder(base *base, r *method.Runner, tasks []*repopeft.Task, cache encoder.Cache) *method.Builder {
	return &method.Builder{
		Dims:    base.model.Config.Dims(),
		Adapter: func(path string) (*adapter.Adapter, error) { return a.loadAdapter(path, base) },
		Checkpoint: func(path string) (*hypernet.Checkpoint, encoder.Encoder, error) {
			ck, err := a.loadCheckpoint(path, base)
			if err != nil {
				return nil, nil, err
			}
			enc, err := base.encoder(ck.Encoder, cache)
			return ck.Checkpoint, enc, err
		},
		Recurrent: func(path string) (evolve.Represented, error) { return a.represented(path, modeEvo, base, cache) },
		Additive:  func(path string) (evolve.Represented, error) { return a.represented(path, modeAdditive, base, cache) },
		States: func(ctx context.Context, f *method.Following) (map[string]*embedding.Representation, error) {
			return r.States(ctx, f, tasks)
		},
		Others: func(ctx context.Context, e encoder.Encoder, tests bool) (map[string]*embedding.Representation, error) {
			return r.Representations(ctx, e, tests, tasks)
		},
		Contexts: &method.Contexts{Tokenizer: base.tokenizer, Embedder: func(layer int) (retrieve.Embedder, error) {
			return retrieve.NewHidden(base.model, base.tokenizer, retrieve.HiddenOptions{Base: base.info.SHA256, Layer: layer})
		}},
	}
}

// encoder returns the encoder with an id, for this base.
func (b *base) encoder(id string, cache encoder.Cache) (encoder.Encoder, error) {
	opt, err := encoder.ParseID(id)
	if err != nil {
		return nil, unusable(err)
	}
	return encoder.New(opt, b.model, b.tokenizer, cache)
}

// answerTokens is the most that an answer has unless told otherwise; in the
// paper 64 in one track and 128 in the other.
const answerTokens = 64

// opener opens the repositories of a benchmark.
func opener(mirrors string, network bool) func(context.Context, string) (*gitrepo.Repo, error) {
	return func(ctx context.Context, name string) (*gitrepo.Repo, error) {
		return gitrepo.Open(ctx, gitrepo.Locate(mirrors, name), gitrepo.Options{
			AllowNetwork: network && networkAllowed(), Name: name, CacheDir: store.Clones()})
	}
}

// slug makes a folder's name of a method's.
func slug(name string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.=,+@", r):
			return r
		}
		return '-'
	}, name)
	if len(s) <= 100 {
		return s
	}
	sum := sha256.Sum256([]byte(name))
	return s[:90] + "-" + hex.EncodeToString(sum[:4])
}
