package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/stats"
)

// condition is what runs must have in common to be compared.
type condition struct {
	id                                     string // before the ids of its sections
	benchmark, base, baseSHA256, precision string
	runs                                   []*run
	all                                    []*suite
}

func (c *condition) name() string {
	return fmt.Sprintf("%s in %s, benchmark %s", c.base, c.precision, short(c.benchmark))
}

// short is the beginning of a digest.
func short(digest string) string { return digest[:min(12, len(digest))] }

// suites returns those of test tasks, or the others.
func (c *condition) suites(test bool) []*suite {
	return slices.DeleteFunc(slices.Clone(c.all), func(s *suite) bool { return s.test != test })
}

// suite is tasks that one figure may be an average of.
type suite struct {
	cond     *condition
	id, name string
	order    int
	test     bool                       // nothing may be chosen by it
	tasks    map[string]*repopeft.Score // copies, of what doesn't depend on the method
	repos    []string
	entries  []*entry // rows, in order
	n        int      // most tasks that an entry has
}

// entry is a method at a level on a suite.
type entry struct {
	spec   spec
	label  string
	level  string
	runs   []*run
	scores []*repopeft.Score // by task
	byTask map[string]*repopeft.Score
	left   []string // what is missing of the runs
}

// group divides runs into conditions, and these into suites.
func group(runs []*run) ([]*condition, error) {
	var all []*condition
	for _, r := range runs {
		i := slices.IndexFunc(all, func(c *condition) bool { return c.has(r) })
		if i < 0 {
			i = len(all)
			all = append(all, &condition{benchmark: r.info.Benchmark, base: r.info.Base, baseSHA256: r.info.BaseSHA256, precision: r.info.Precision})
		}
		all[i].runs = append(all[i].runs, r)
	}
	slices.SortStableFunc(all, func(a, b *condition) int {
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.precision, b.precision), cmp.Compare(a.benchmark, b.benchmark), cmp.Compare(a.baseSHA256, b.baseSHA256))
	})
	for _, c := range all {
		if err := c.divide(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c *condition) has(r *run) bool {
	return c.benchmark == r.info.Benchmark && c.base == r.info.Base && c.baseSHA256 == r.info.BaseSHA256 && c.precision == r.info.Precision
}

// divide makes the suites of a condition.
func (c *condition) divide() error {
	suites := map[string]*suite{}
	for _, r := range c.runs {
		for _, s := range r.scores {
			id, name, order, test := classify(s)
			su := suites[id]
			if su == nil {
				su = &suite{cond: c, id: id, name: name, order: order, test: test, tasks: map[string]*repopeft.Score{}}
				suites[id] = su
				c.all = append(c.all, su)
			}
			if err := su.add(r, s); err != nil {
				return err
			}
		}
	}
	for _, su := range c.all {
		su.finish()
	}
	slices.SortFunc(c.all, func(a, b *suite) int { return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.id, b.id)) })
	return nil
}

// classify says which suite a task is of.
func classify(s *repopeft.Score) (id, name string, order int, test bool) {
	part := ""
	switch {
	case s.Track == repopeft.OOD && s.Split != dataset.Validation:
		part, order, test = "OOD", 30, true
	case s.Track == repopeft.OOD:
		part, order = "OOD of validation names", 30
	case s.Split == dataset.Test:
		part, test = "CR", true
	case s.Split == dataset.Validation:
		part = "CR validation"
	case s.InRepo == dataset.Test:
		part, order, test = "IR", 10, true
	case s.InRepo == dataset.Validation:
		part, order = "IR validation", 10
	default:
		part, order = "training tasks", 20
	}
	name = part
	if s.Track != repopeft.OOD {
		name = string(s.Track) + " " + part
		if s.Track == repopeft.Evolution {
			order += 100
		}
	} else {
		order += 200
	}
	switch s.Kind {
	case repopeft.Assertion:
	case repopeft.Call:
		name, order = name+", calls", order+1
	default:
		name, order = name+", "+string(s.Kind)+"s", order+2
	}
	id = strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, strings.ToLower(strings.ReplaceAll(name, ",", "")))
	return id, name, order, test
}

// add puts a score into the row of its method and level. Runs on different
// tasks, such as those of two tracks, make one row.
func (su *suite) add(r *run, s *repopeft.Score) error {
	i := slices.IndexFunc(su.entries, func(e *entry) bool { return e.of(r) })
	if i < 0 {
		i = len(su.entries)
		su.entries = append(su.entries, &entry{spec: r.spec, label: r.label, level: r.info.Level, byTask: map[string]*repopeft.Score{}})
	}
	e := su.entries[i]
	if e.byTask[s.Task] != nil {
		other := e.runs[0]
		for _, o := range e.runs {
			if _, ok := slices.BinarySearchFunc(o.scores, s.Task, func(s *repopeft.Score, id string) int { return strings.Compare(s.Task, id) }); ok {
				other = o
				break
			}
		}
		return fmt.Errorf("runs %s and %s both answer task %s by %q at level %q: give one of them", other.dir, r.dir, s.Task, r.info.Method, r.info.Level)
	}
	if known := su.tasks[s.Task]; known != nil && known.Repository != s.Repository {
		return fmt.Errorf("run %s: task %s is of %s, in an earlier run it is of %s", r.dir, s.Task, s.Repository, known.Repository)
	}
	if !slices.Contains(e.runs, r) {
		e.runs = append(e.runs, r)
		if r.left != "" {
			e.left = append(e.left, r.left)
		}
	}
	e.byTask[s.Task] = s
	e.scores = append(e.scores, s)
	if known := su.tasks[s.Task]; known != nil {
		known.Resolved = known.Resolved || s.Resolved             // only a run that looks for context finds it
		known.CommitIndex = max(known.CommitIndex, s.CommitIndex) // 0 in scores of older versions
	} else {
		task := *s
		su.tasks[s.Task] = &task
	}
	return nil
}

// of reports whether a run belongs to a row: seeds and checkpoints that only
// their runs tell apart are rows of their own.
func (e *entry) of(r *run) bool {
	o := e.runs[0].info
	return o.Method == r.info.Method && o.Level == r.info.Level && o.Seed == r.info.Seed && o.Checkpoint == r.info.Checkpoint
}

// finish sorts and counts when all scores are there.
func (su *suite) finish() {
	repos := map[string]bool{}
	for _, s := range su.tasks {
		repos[s.Repository] = true
	}
	for r := range repos {
		su.repos = append(su.repos, r)
	}
	slices.Sort(su.repos)
	for i, e := range su.entries {
		slices.SortFunc(e.scores, func(a, b *repopeft.Score) int { return strings.Compare(a.Task, b.Task) })
		su.n = max(su.n, len(e.scores))
		for _, o := range su.entries[:i] {
			if a, b := o.runs[0].info, e.runs[0].info; a.Method == b.Method && a.Level == b.Level {
				o.label, e.label = o.distinct(b), e.distinct(a)
			}
		}
	}
	slices.SortStableFunc(su.entries, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.spec.order(), b.spec.order()), strings.Compare(a.label, b.label),
			cmp.Compare(levelOrder(a.level), levelOrder(b.level)), strings.Compare(a.level, b.level))
	})
}

// distinct is the label with what tells it from another run of its method.
func (e *entry) distinct(other repopeft.RunInfo) string {
	r, label := e.runs[0], e.runs[0].label
	if r.info.Seed != other.Seed {
		label += fmt.Sprintf(" (seed %d)", r.info.Seed)
	}
	if r.info.Checkpoint != other.Checkpoint {
		label += fmt.Sprintf(" (checkpoint %s)", short(r.info.Checkpoint))
	}
	return label
}

// levelOrder puts the level that shows less first.
func levelOrder(level string) int {
	if level == "production" {
		return 0
	}
	return 1
}

// levels are the levels of disclosure of a suite, in order.
func (su *suite) levels() []string {
	var all []string
	for _, e := range su.entries {
		if !slices.Contains(all, e.level) {
			all = append(all, e.level)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(levelOrder(a), levelOrder(b)), strings.Compare(a, b))
	})
	return all
}

// at returns the rows of a level. Methods that read nothing of a repository
// answer the same at each: they are taken from where they were run.
func (su *suite) at(level string) []*entry {
	return slices.DeleteFunc(slices.Clone(su.entries), func(e *entry) bool { return !su.counts(e, level) })
}

// counts reports whether a row is one of a level.
func (su *suite) counts(e *entry, level string) bool {
	if e.level == level {
		return true
	}
	var first *entry
	for _, o := range su.entries {
		switch {
		case o.label != e.label:
		case o.level == level:
			return false // it was run there
		case first == nil:
			first = o
		}
	}
	return e.spec.levelless() && first == e
}

// base returns the bare base at a level, or nil.
func (su *suite) base(level string) *entry {
	all := su.at(level)
	if i := slices.IndexFunc(all, func(e *entry) bool { return e.spec.base() }); i >= 0 {
		return all[i]
	}
	return nil
}

// status is what is behind a label in tables.
func (e *entry) status(su *suite) string {
	all := slices.Clone(e.left)
	if len(all) == 0 && len(e.scores) < su.n {
		all = append(all, fmt.Sprintf("on %d of %d tasks", len(e.scores), su.n))
	}
	if e.spec.readsAnswer() {
		all = append(all, "reads the answer")
	}
	return strings.Join(all, "; ")
}

// cell names a row, with what is to know of it.
func (e *entry) cell(su *suite) cell {
	c := cell{Text: e.label, Values: []any{e.label}}
	if status := e.status(su); status != "" {
		c.Note = "(" + status + ")"
	}
	return c
}

// numbers of the runs of a row.
func (e *entry) numbers() []int {
	var all []int
	for _, r := range e.runs {
		all = append(all, r.number)
	}
	return all
}

// cut reports whether wrong answers may be cut off: then there are no similarities.
func (e *entry) cut() bool {
	return slices.ContainsFunc(e.runs, (*run).cut)
}

// figure is a number of a score; not NaN where there is one.
type figure func(*repopeft.Score) float64

func exact(s *repopeft.Score) float64         { return oneIf(s.Exact) }
func exactPaper(s *repopeft.Score) float64    { return oneIf(s.ExactPaper) }
func edit(s *repopeft.Score) float64          { return s.EditSimilarity }
func codeBLEU(s *repopeft.Score) float64      { return s.CodeBLEU }
func tokenBLEU(s *repopeft.Score) float64     { return s.TokenBLEU }
func contextTokens(s *repopeft.Score) float64 { return float64(s.ContextTokens) }

// crossEntropy is in nats per token of the target.
func crossEntropy(s *repopeft.Score) float64 {
	if s.Tokens == 0 {
		return math.NaN()
	}
	return s.NLL / float64(s.Tokens)
}

func passed(s *repopeft.Score) float64 {
	if s.Passed == nil {
		return math.NaN()
	}
	return oneIf(*s.Passed)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// values are the figures of scores that have one.
func values(scores []*repopeft.Score, f figure) []stats.Value {
	all := make([]stats.Value, 0, len(scores))
	for _, s := range scores {
		if x := f(s); !math.IsNaN(x) {
			all = append(all, stats.Value{Cluster: s.Repository, X: x})
		}
	}
	return all
}

// mean is the average over scores, or NaN.
func mean(scores []*repopeft.Score, f figure) (m float64, n int) {
	var sum float64
	for _, s := range scores {
		if x := f(s); !math.IsNaN(x) {
			sum += x
			n++
		}
	}
	return sum / float64(n), n
}

// pairs are the figures of two rows on the tasks that both have.
func pairs(a, b *entry, f figure) []stats.Pair {
	var all []stats.Pair
	for _, s := range a.scores {
		o := b.byTask[s.Task]
		if o == nil {
			continue
		}
		if x, y := f(s), f(o); !math.IsNaN(x) && !math.IsNaN(y) {
			all = append(all, stats.Pair{Cluster: s.Repository, A: x, B: y})
		}
	}
	return all
}
