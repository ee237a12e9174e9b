package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/audit"
	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/method"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
	"github.com/code2lora/code2lora/internal/store"
)

// benchAudit is the result of bench audit.
type benchAudit struct {
	Tool       string `json:"tool"`
	Base       string `json:"base"`
	BaseSHA256 string `json:"base_sha256"`
	Checkpoint string `json:"checkpoint"`
	SHA256     string `json:"checkpoint_sha256"`
	Encoder    string `json:"encoder"`
	Benchmark  string `json:"benchmark"` // digest
	Level      string `json:"level"`
	Suite      suite  `json:"suite"`
	Precision  string `json:"precision"`
	*audit.Report
}

func (a *app) benchAuditCmd() *cobra.Command {
	var o struct {
		suite
		base, mirrors, checkpoint, level, out string
		read                                  []string
		layout                                method.Layout
		commits                               int
		network                               bool
	}
	c := &cobra.Command{
		Use:   "audit BENCHMARK",
		Short: "Tell whether a checkpoint uses the repositories it is given",
		Long: `Tell whether a checkpoint uses the repositories that it is given, on repositories
that it has not seen: how much its adapters differ between repositories and
commits, whether the halves of a repository can be matched by their adapters, how
adapters follow their input, and the losses of tasks with the repository's own
adapter, the average one, those of three strangers and the nearest one's.

A checkpoint with a recurrence needs tasks of a history, as those of the track
evolution: its adapters are those of states that followed the kept commits. A
state has no halves to match.

The last line is the verdict: conditioned, if own beats average and stranger with
95 % confidence over repositories; weakly, if the adapters carry the repository
but that is worth little; not, if the input is ignored.`,
		Example: "  code2lora bench audit tasks --checkpoint runs/smollm2-135m/checkpoint.safetensors --mirrors ../mirrors",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			level := disclosure.Level(o.level)
			if !slices.Contains(disclosure.Levels, level) {
				return fmt.Errorf("%w: bench audit: --level %q: want production or tree", errUsage, o.level)
			}
			if o.commits < 0 {
				return fmt.Errorf("%w: bench audit: --commits %d: want 0 or more", errUsage, o.commits)
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
			if err := o.layout.Validate(base.model.MaxContext(), answerTokens); err != nil {
				return fmt.Errorf("%w: bench audit: %w", errUsage, err)
			}
			cache, err := vectorCache()
			if err != nil {
				return err
			}
			r := &method.Runner{Engine: base.engine(), Base: base.compute(), Layout: o.layout, Level: level, Languages: o.read,
				NewTokens: answerTokens, Open: opener(o.mirrors, o.network), Kept: keptCommits(b), Suite: tasks}
			ck, err := a.auditable(o.checkpoint, base, cache, r, o.commits)
			if err != nil {
				return err
			}
			bar := a.bar()
			defer bar.done()
			repos, byRepository, err := auditRepositories(c.Context(), ck.read, tasks, bar.show)
			if err != nil {
				return err
			}
			l := &progressLosser{Losser: method.Losser{Runner: r, Tasks: byRepository}, show: bar.show}
			report, err := audit.Run(c.Context(), ck.generator, repos, l, stats.Options{})
			if err != nil {
				return err
			}
			bar.done()
			res := &benchAudit{Tool: tool(), Base: base.info.Name, BaseSHA256: base.info.SHA256, Checkpoint: ck.Name, SHA256: ck.sha256, Encoder: ck.Encoder,
				Benchmark: b.Digest, Level: o.level, Suite: o.suite, Precision: kernel.CurrentPrecision().String(), Report: report}
			if o.out != "" {
				if err := store.WriteFile(o.out, func(w io.Writer) error { return encodeJSON(w, res) }); err != nil {
					return err
				}
			}
			return a.print(res, func(w io.Writer) { printAudit(w, res) })
		},
	}
	o.layout = method.Layout{PrefixTokens: method.DefaultLayout().PrefixTokens}
	o.suite.flags(c)
	f := c.Flags()
	f.StringVar(&o.checkpoint, "checkpoint", "", "hypernetwork checkpoint `FILE` (default: the one for the base)")
	f.StringVar(&o.level, "level", string(disclosure.Production), "`LEVEL` of disclosure: production or tree")
	f.StringVarP(&o.out, "output", "o", "", "write the report to `FILE` as JSON")
	f.StringVar(&o.mirrors, "mirrors", "", "`DIR` with local clones of the repositories")
	f.BoolVar(&o.network, "network", false, "clone repositories that are not there")
	f.StringSliceVar(&o.read, "read", []string{"python"}, "`LANGUAGES` that the encoder may read")
	f.IntVar(&o.layout.PrefixTokens, "prefix-tokens", o.layout.PrefixTokens, "keep at most `N` tokens of a prefix")
	f.IntVar(&o.commits, "commits", 3, "compare the adapters of `N` earlier commits of each repository too")
	baseFlag(c, &o.base)
	precisionFlag(c, kernel.Int8)
	return c
}

// auditable is a checkpoint, and how an audit reads the repository of tasks for
// it.
type auditable struct {
	hypernet.Info
	sha256    string
	generator audit.Generator
	read      func(context.Context, []*repopeft.Task) (*audit.Repository, error)
}

// auditable loads a checkpoint for an audit: one with a recurrence reads
// histories.
func (a *app) auditable(path string, b *base, cache encoder.Cache, r *method.Runner, commits int) (*auditable, error) {
	ck, c, err := a.loadAny(path, b)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return auditableHistory(c, b, cache, r, commits)
	}
	enc, err := b.encoder(ck.Encoder, cache)
	if err != nil {
		return nil, err
	}
	opt, err := encoder.ParseID(ck.Encoder)
	if err != nil {
		return nil, unusable(err)
	}
	return &auditable{ck.Info, ck.sha256, ck.Checkpoint, func(ctx context.Context, tasks []*repopeft.Task) (*audit.Repository, error) {
		return r.AuditRepository(ctx, enc, opt.Tests, tasks, commits)
	}}, nil
}

func auditableHistory(c *recurrence, b *base, cache encoder.Cache, r *method.Runner, commits int) (*auditable, error) {
	f, err := evolve.NewRecurrent(c.Checkpoint, b.model, b.tokenizer, cache)
	if err != nil {
		return nil, unusable(err)
	}
	m := method.NewFollowing(modeEvo, f, method.Own, method.StepKept)
	return &auditable{c.Info, c.sha256, f, func(ctx context.Context, tasks []*repopeft.Task) (*audit.Repository, error) {
		return r.AuditHistory(ctx, m, tasks, commits)
	}}, nil
}

// auditRepositories reads the repositories of tasks; those with nothing to read
// are left out.
func auditRepositories(ctx context.Context, read func(context.Context, []*repopeft.Task) (*audit.Repository, error), tasks []*repopeft.Task,
	show func(string, ...any)) ([]audit.Repository, map[string][]*repopeft.Task, error) {
	byRepository := map[string][]*repopeft.Task{}
	var names []string
	for _, t := range tasks {
		if byRepository[t.Repository] == nil {
			names = append(names, t.Repository)
		}
		byRepository[t.Repository] = append(byRepository[t.Repository], t)
	}
	slices.Sort(names)
	var repos []audit.Repository
	for i, name := range names {
		repo, err := read(ctx, byRepository[name])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		if repo != nil {
			repos = append(repos, *repo)
		}
		show("%d of %d repositories read", i+1, len(names))
	}
	return repos, byRepository, nil
}

// progressLosser says how far it is.
type progressLosser struct {
	method.Losser
	show func(string, ...any)
	done int
}

func (l *progressLosser) Losses(ctx context.Context, repository string, ad *adapter.Adapter) (*audit.Losses, error) {
	l.done++
	l.show("%s: tasks scored, %d times", repository, l.done)
	return l.Losser.Losses(ctx, repository, ad)
}

func printAudit(w io.Writer, r *benchAudit) {
	fmt.Fprintf(w, "%d tasks of %d repositories, level %s\n\n", r.Tasks, r.Repositories, r.Level)
	fmt.Fprintf(w, "adapters     mean cosine %.4f between repositories, distance %.3f from the average, effective rank %.1f of at most %d\n",
		r.Spread.Cosine.Mean, r.Spread.Distance.Mean, r.EffectiveRank, r.Repositories-1)
	var modules []string
	for m, c := range r.Modules {
		modules = append(modules, fmt.Sprintf("%s %.4f", m, c))
	}
	slices.Sort(modules)
	fmt.Fprintf(w, "by module    %s\n", strings.Join(modules, ", "))
	if r.Commits > 0 {
		fmt.Fprintf(w, "commits      mean cosine %.4f between neighbouring ones, %.4f between any two of a repository, %.4f between first and last\n", r.Commits, r.Pairs, r.Drift)
	}
	if r.Chance > 0 {
		fmt.Fprintf(w, "identified   %s %% of half repositories by their adapters, chance is %.1f %%\n", percent(r.Identified), 100*r.Chance)
	}
	fmt.Fprintf(w, "response     %.2f of the way at each quarter of the way between representations\n\n", r.Response)
	fmt.Fprintf(w, "%-22s  %-24s  %s\n", "", "exact match (%)", "cross-entropy (nats per target token)")
	row := func(name string, exact, nll stats.Interval) {
		fmt.Fprintf(w, "%-22s  %-24s  %.4f [%.4f, %.4f]\n", name, percent(exact), nll.Mean, nll.Low, nll.High)
	}
	e, n := r.ExactMatch, r.CrossEntropy
	row("base", e.Base, n.Base)
	row("own adapter", e.Own, n.Own)
	row("average adapter", e.Average, n.Average)
	row(fmt.Sprintf("strangers', mean of %d", r.Strangers), e.Stranger, n.Stranger)
	row("the nearest one's", e.Nearest, n.Nearest)
	row("own minus average", e.OwnAverage, n.OwnAverage)
	row("own minus stranger's", e.OwnStranger, n.OwnStranger)
	row("own minus nearest's", e.OwnNearest, n.OwnNearest)
	fmt.Fprintf(w, "\n%s\n", r.Report)
}
