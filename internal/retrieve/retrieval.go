package retrieve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// Ranking is how chunks are ordered.
type Ranking string

// The rankings.
const (
	BM25  Ranking = "bm25"  // by words
	Dense Ranking = "dense" // by embeddings
	Fused Ranking = "fused" // by both, see RetrievalOptions.Fusion
)

// Layout is how the chunks of a context are put together.
type Layout string

// The layouts.
const (
	Plain Layout = "plain" // one after the other, with Separator between
	// Shots announces chunks as examples, as the authors' logs describe for
	// in-context learning: a comment, the examples with "# ---" between, and a
	// comment that announces the task.
	Shots Layout = "shots"
)

// RetrievalOptions configure [NewRetrieval]. The defaults in brackets are those of
// the paper's second generation.
type RetrievalOptions struct {
	Index   *Index  // shared with other contexts; nil: one of its own
	Chunker Chunker // nil: Units
	Ranking Ranking // "": BM25, the half of the paper's ranking that needs no model
	K       int     // chunks to take; 0: 3
	// QueryChars is the length of the query, the last characters of the prefix;
	// 0: 2000.
	QueryChars int
	// Candidates and Fusion are of Fused: the first Candidates of each ranking
	// (0: 30) get 1/(Fusion + rank), with ranks from 1 (0: 60), which are added;
	// where they are equal, the order of files decides.
	Candidates, Fusion int
	Embedder           Embedder      // for Dense and Fused
	Vectors            encoder.Cache // keeps vectors over runs; may be nil
	// Center takes the mean of a view's vectors off before cosines. The paper
	// doesn't; for hidden states it is needed.
	Center bool
	// Pool, unless 0, embeds only so many chunks, those that BM25 ranks first.
	// The paper embeds all.
	Pool int
	// MaxChunks, unless 0, reads only so many chunks of a repository, in the order
	// of files: 300 in the paper's first generation.
	MaxChunks int
	// MaxTokens bounds a context beside the caller's budget; 0: 1536.
	MaxTokens int
	// Whole takes chunks whole or not at all. Without it they are sorted once more
	// by how the prefix uses what they define, and one that doesn't fit is shortened
	// to its signatures, as the paper's second generation does.
	Whole bool
	// NearestLast puts the best chunk right before the prefix rather than first.
	NearestLast bool
	Layout      Layout // "": Plain
}

// NewRetrieval returns retrieval-augmented generation: chunks of the repository
// that are like the end of the prefix. Chunks that share no word with the query
// don't count for BM25; the paper's code fills up with them.
func NewRetrieval(o RetrievalOptions) (Context, error) { return newRetrieval("retrieval", allFiles, o) }

// NewExamples returns in-context examples: whole test functions of the repository
// that are like the end of the prefix, the nearest one last. They are in the
// views of level [disclosure.Tree] only. Of the options, these have other
// defaults: Chunker is [Tests], K is 4, and there is no MaxTokens.
//
// For what the authors' logs describe, set Chunker to [Assertions] and Layout to
// [Shots]; there the examples were tasks of other commits, here they are what the
// view shows.
func NewExamples(o RetrievalOptions) (Context, error) {
	if o.Chunker == nil {
		o.Chunker = Tests{}
	}
	o.K = cmp.Or(o.K, 4)
	o.MaxTokens = cmp.Or(o.MaxTokens, 1<<30)
	o.Whole, o.NearestLast = true, true
	return newRetrieval("examples", testFiles, o)
}

type retrieval struct {
	RetrievalOptions
	kind    string
	from    source
	vectors *vectorCache
}

func newRetrieval(kind string, from source, o RetrievalOptions) (Context, error) {
	if o.Index == nil {
		o.Index = NewIndex()
	}
	if o.Chunker == nil {
		o.Chunker = Units{}
	}
	o.Ranking = cmp.Or(o.Ranking, BM25)
	o.Layout = cmp.Or(o.Layout, Plain)
	for _, n := range []struct {
		value *int
		or    int
	}{{&o.K, 3}, {&o.QueryChars, 2000}, {&o.Candidates, 30}, {&o.Fusion, 60}, {&o.MaxTokens, 1536}} {
		*n.value = cmp.Or(*n.value, n.or)
	}
	r := &retrieval{RetrievalOptions: o, kind: kind, from: from}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if o.Embedder != nil {
		r.vectors = newVectorCache(o.Embedder, o.Vectors)
	}
	return r, nil
}

func (r *retrieval) validate() error {
	var errs []error
	switch r.Ranking {
	case BM25:
	case Dense, Fused:
		if r.Embedder == nil {
			errs = append(errs, fmt.Errorf("ranking %s needs an embedder", r.Ranking))
		}
	default:
		errs = append(errs, fmt.Errorf("ranking %q: want %s, %s or %s", r.Ranking, BM25, Dense, Fused))
	}
	if r.Layout != Plain && r.Layout != Shots {
		errs = append(errs, fmt.Errorf("layout %q: want %s or %s", r.Layout, Plain, Shots))
	}
	if w, ok := r.Chunker.(Windows); ok {
		if checked, err := NewWindows(w); err != nil {
			errs = append(errs, err)
		} else {
			r.Chunker = checked
		}
	}
	for _, n := range []struct {
		name  string
		value int
		least int
	}{{"k", r.K, 1}, {"query", r.QueryChars, 1}, {"candidates", r.Candidates, 1}, {"fusion", r.Fusion, 1},
		{"max tokens", r.MaxTokens, 1}, {"max chunks", r.MaxChunks, 0}, {"pool", r.Pool, 0}} {
		if n.value < n.least {
			errs = append(errs, fmt.Errorf("%s %d: want at least %d", n.name, n.value, n.least))
		}
	}
	return errors.Join(errs...)
}

// Name implements [Context].
func (r *retrieval) Name() string {
	name := fmt.Sprintf("%s %s %s k=%d query=%d", r.kind, r.Ranking, r.Chunker.Name(), r.K, r.QueryChars)
	if r.Ranking != BM25 {
		name += fmt.Sprintf(" embedder=(%s) center=%t pool=%d", r.Embedder.Name(), r.Center, r.Pool)
	}
	if r.Ranking == Fused {
		name += fmt.Sprintf(" candidates=%d fusion=%d", r.Candidates, r.Fusion)
	}
	if r.MaxChunks > 0 {
		name += fmt.Sprintf(" chunks=%d", r.MaxChunks)
	}
	if r.MaxTokens < 1<<30 {
		name += fmt.Sprintf(" tokens=%d", r.MaxTokens)
	}
	for _, f := range []struct {
		name string
		on   bool
	}{{" whole", r.Whole}, {" nearest-last", r.NearestLast}, {" shots", r.Layout == Shots}} {
		if f.on {
			name += f.name
		}
	}
	return name
}

// Context implements [Context].
func (r *retrieval) Context(ctx context.Context, v *disclosure.View, q repopeft.Query, budget int, count func(string) int) (string, error) {
	budget = min(budget, r.MaxTokens)
	if budget <= 0 || q.Prefix == "" {
		return "", ctx.Err()
	}
	best, err := r.rank(ctx, v, q)
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w", r.kind, v.Repository(), err)
	}
	blocks := make([]block, len(best))
	for i, u := range best {
		blocks[i] = block{path: u.Path, head: u.Head, code: u.Code}
		if u.Symbol != "" {
			blocks[i].names = []string{u.Symbol[strings.LastIndexByte(u.Symbol, '.')+1:]}
		}
	}
	var short func(block) string
	if !r.Whole {
		sortByUse(blocks, q.Prefix)
		short = r.Index.shorten
	}
	parts := fill(blocks, budget, count, short)
	return join(parts, budget, count, func(parts []string) string {
		if r.NearestLast {
			parts = slices.Clone(parts)
			slices.Reverse(parts)
		}
		if r.Layout == Shots {
			return shots(parts, comment(q.Language))
		}
		return strings.Join(parts, Separator)
	}), nil
}

// shots is the layout of the same name.
func shots(parts []string, sign string) string {
	return sign + "Examples of assertions of this repository:\n\n" + strings.Join(parts, "\n\n"+sign+"---\n\n") +
		"\n\n" + sign + "Complete the following one:"
}

// rank returns the K best units for a query, the best first.
func (r *retrieval) rank(ctx context.Context, v *disclosure.View, q repopeft.Query) ([]*unit, error) {
	c, err := r.Index.corpus(ctx, v, r.Chunker, r.from, r.MaxChunks)
	if err != nil || len(c.units) == 0 {
		return nil, err
	}
	query := lastRunes(q.Prefix, r.QueryChars)
	all := make([]int, len(c.units))
	for i := range all {
		all[i] = i
	}
	var byWords, byVector []int
	if r.Ranking != Dense || r.Pool > 0 {
		scores := bm25(c.units, c.meanLength, query)
		byWords = slices.DeleteFunc(order(slices.Clone(all), scores), func(i int) bool { return scores[i] <= 0 })
	}
	if r.Ranking != BM25 {
		pool := all
		if r.Pool > 0 {
			pool = slices.Clone(byWords[:min(len(byWords), r.Pool)])
			slices.Sort(pool)
		}
		if byVector, err = r.dense(ctx, c.units, pool, query); err != nil {
			return nil, err
		}
	}
	best := byWords
	switch r.Ranking {
	case Dense:
		best = byVector
	case Fused:
		best = fuse(r.Fusion, byWords[:min(len(byWords), r.Candidates)], byVector[:min(len(byVector), r.Candidates)])
	}
	units := make([]*unit, min(len(best), r.K))
	for i := range units {
		units[i] = c.units[best[i]]
	}
	return units, nil
}

// dense orders the units of a pool, given by their indices, by their cosine with
// a query.
func (r *retrieval) dense(ctx context.Context, units []*unit, pool []int, query string) ([]int, error) {
	if len(pool) == 0 {
		return nil, nil
	}
	texts := make([]string, len(pool), len(pool)+1)
	for i, u := range pool {
		texts[i] = units[u].Text()
	}
	vectors, err := r.vectors.vectors(ctx, append(texts, query))
	if err != nil {
		return nil, err
	}
	q := vectors[len(pool)]
	for _, v := range vectors {
		if len(v) != len(q) {
			return nil, fmt.Errorf("embedder %s: vectors of lengths %d and %d", r.Embedder.Name(), len(v), len(q))
		}
	}
	byUnit := make([]float64, len(units))
	for i, s := range cosines(q, vectors[:len(pool)], r.Center) {
		byUnit[pool[i]] = s
	}
	return order(slices.Clone(pool), byUnit), nil
}

// order sorts indices by score, the highest first; equal scores keep their order.
func order(indices []int, scores []float64) []int {
	slices.SortStableFunc(indices, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return indices
}

// fuse merges rankings: each gives 1/(k + rank) to what it has, with ranks from 1.
// Equal sums are in the order of indices.
func fuse(k int, rankings ...[]int) []int {
	sums := map[int]float64{}
	for _, ranking := range rankings {
		for rank, i := range ranking {
			sums[i] += 1 / float64(k+rank+1)
		}
	}
	var indices []int
	for i := range sums {
		indices = append(indices, i)
	}
	slices.SortFunc(indices, func(a, b int) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b)) })
	return indices
}
