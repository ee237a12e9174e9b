package method

import (
	"context"
	"errors"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/retrieve"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// WithContext is the bare base with a text before the prefix.
type WithContext struct {
	As      string // its name
	Context retrieve.Context
}

// Name implements [Method].
func (w *WithContext) Name() string { return w.As }

// Prepare implements [Method].
func (w *WithContext) Prepare(_ context.Context, v *disclosure.View) (Asker, error) {
	return contextAsker{w.Context, v}, nil
}

type contextAsker struct {
	context retrieve.Context
	view    *disclosure.View
}

func (c contextAsker) Ask(ctx context.Context, q repopeft.Query, r Room) (Prompt, error) {
	if r.Tokens == 0 {
		return Prompt{}, nil
	}
	text, err := c.context.Context(ctx, c.view, q, r.Tokens, r.Count)
	return Prompt{Context: text}, err
}

// PastCut is a method that reads the file which is asked about past the cut,
// the answer included. It is no method that anybody could use, and takes part
// only because the paper reports one.
type PastCut struct {
	As     string // its name
	Oracle *retrieve.Oracle
}

// Name implements [Method].
func (p *PastCut) Name() string { return p.As }

// Prepare implements [Method]; a runner that knows the task asks otherwise.
func (p *PastCut) Prepare(context.Context, *disclosure.View) (Asker, error) {
	return nil, errors.New("this method reads the answer, and can be asked about the tasks of a benchmark only")
}

// Contexts makes the methods that write contexts.
type Contexts struct {
	Tokenizer *tokenizer.Tokenizer
	Embedder  func(layer int) (retrieve.Embedder, error)
	Vectors   encoder.Cache // of embeddings; may be nil

	index *retrieve.Index // shared
}

// contextNames lists what Contexts makes.
var contextNames = []string{
	"bm25[:k=N][,unit=definition|window|test][,window=TOKENS][,overlap=TOKENS][,query=CHARACTERS][,whole=yes|no]",
	"dense[:layer=N][,pool=N] and those of bm25",
	"fused, with those of dense",
	"examples[:k=N][,unit=test|assertion][,ranking=bm25|dense|fused][,layout=plain|shots]: tests of the repository itself",
	"dependencies[:aliases=yes|no][,whole=yes|no]: definitions of what the prefix imports and uses",
	"dependencies-past-cut: the same, but READS THE ANSWER, as the paper's does",
}

// Build makes the method of a part, or returns [ErrUnknown].
func (c *Contexts) Build(p Part) (Method, error) {
	if c.index == nil {
		c.index = retrieve.NewIndex()
	}
	r := p.reader()
	var text retrieve.Context
	var err error
	switch p.Name {
	case "bm25", "dense", "fused":
		text, err = c.retrieval(p.Name, r)
	case "examples":
		text, err = c.examples(r)
	case "dependencies":
		o := retrieve.DependencyOptions{Index: c.index, Aliases: r.yes("aliases", true), Whole: r.yes("whole", false)}
		if err := r.done(); err != nil {
			return nil, err
		}
		text, err = retrieve.NewDependencies(o)
	case "dependencies-past-cut":
		if err := r.done(); err != nil {
			return nil, err
		}
		o, err := retrieve.NewOracle(retrieve.DependencyOptions{Index: c.index})
		return &PastCut{As: p.String(), Oracle: o}, err
	default:
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return &WithContext{As: p.String(), Context: text}, nil
}

func (c *Contexts) retrieval(ranking string, r *settings) (retrieve.Context, error) {
	o, err := c.options(ranking, r)
	if err != nil {
		return nil, err
	}
	o.K = r.number("k", 3, 1)
	switch unit := r.oneOf("unit", "definition", "definition", "window", "test"); unit {
	case "definition":
		o.Chunker = retrieve.Units{}
	case "test":
		o.Chunker = retrieve.Tests{}
	case "window":
		o.Chunker, err = retrieve.NewWindows(retrieve.Windows{Tokenizer: c.Tokenizer,
			Size: r.number("window", 256, 16), Overlap: r.number("overlap", 32, 0)})
		if err != nil {
			return nil, err
		}
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	return retrieve.NewRetrieval(o)
}

func (c *Contexts) examples(r *settings) (retrieve.Context, error) {
	o, err := c.options(r.oneOf("ranking", "bm25", "bm25", "dense", "fused"), r)
	if err != nil {
		return nil, err
	}
	o.K = r.number("k", 4, 1)
	if r.oneOf("unit", "test", "test", "assertion") == "assertion" {
		o.Chunker = retrieve.Assertions{}
	}
	o.Layout = retrieve.Layout(r.oneOf("layout", "plain", "plain", "shots"))
	if err := r.done(); err != nil {
		return nil, err
	}
	return retrieve.NewExamples(o)
}

// options are those that all rankings share.
func (c *Contexts) options(ranking string, r *settings) (retrieve.RetrievalOptions, error) {
	o := retrieve.RetrievalOptions{Index: c.index, Ranking: retrieve.Ranking(ranking), MaxTokens: 1 << 20, // the layout bounds it
		QueryChars: r.number("query", 2000, 1), Whole: r.yes("whole", false)}
	if ranking == "bm25" {
		return o, nil
	}
	layer := r.number("layer", 0, 0)
	o.Pool, o.Center, o.Vectors = r.number("pool", 0, 0), true, c.Vectors
	if r.err != nil {
		return o, SettingError{r.err}
	}
	var err error
	o.Embedder, err = c.Embedder(layer)
	return o, err
}
