package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/kernel"
)

func (a *app) completeCmd() *cobra.Command {
	var o struct {
		base, adapter, suffix, file, at string
		compare                         bool
		opt                             engine.Options
		lookup                          lookup
	}
	c := &cobra.Command{
		Use:   "complete [< prefix]",
		Short: "Complete code",
		Long: `Complete the text on standard input, or the text of --file around the cursor
position --at LINE:COLUMN (1-based; columns count characters).

With --suffix, or with text after the cursor, the base's fill-in-the-middle
tokens are used. A base without them gets the prefix only, and a note says so.
Text is printed as it is generated, and nothing else.`,
		Example: `  printf 'def add(a, b):\n    return ' | code2lora complete --stop '\n'
  code2lora complete --adapter DIR --file app.py --at 10:5 --compare`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.opt.Validate(); err != nil {
				return fmt.Errorf("%w: complete: %w", errUsage, err)
			}
			if err := o.lookup.validate(); err != nil {
				return err
			}
			o.opt.NoLookup = o.lookup.mode == "off"
			if o.compare && o.adapter == "" {
				return fmt.Errorf("%w: complete: --compare needs --adapter", errUsage)
			}
			for i, s := range o.opt.Stop {
				o.opt.Stop[i] = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(s)
			}
			p, err := a.prompt(c.Context(), o.file, o.at, o.suffix)
			if err != nil {
				return err
			}
			b, err := a.loadBase(c.Context(), o.base)
			if err != nil {
				return err
			}
			ad, err := a.loadAdapter(o.adapter, b)
			if err != nil {
				return err
			}
			index, err := o.lookup.index(c.Context(), b)
			if err != nil {
				return err
			}
			h, err := b.engine().Handle(ad)
			if err != nil {
				return err
			}
			r := engine.Request{Prompt: p, Adapter: h, Options: o.opt, Index: index}
			if o.compare {
				return a.compare(c, b, r)
			}
			return a.complete(c, b, r)
		},
	}
	f := c.Flags()
	f.StringVar(&o.adapter, "adapter", "", "use the adapter in `DIR` (any format)")
	f.BoolVar(&o.compare, "compare", false, "complete with the base and with the adapter, and show both")
	f.StringVar(&o.suffix, "suffix", "", "`TEXT` after the cursor")
	f.StringVar(&o.file, "file", "", "complete inside `FILE` instead of standard input")
	f.StringVar(&o.at, "at", "", "cursor in --file, as `LINE:COLUMN` (default: its end)")
	f.IntVar(&o.opt.MaxTokens, "max-tokens", 64, "generate at most `N` tokens")
	f.Float64Var(&o.opt.Temperature, "temperature", 0, "sample at this `temperature`; 0 takes the most likely token")
	f.IntVar(&o.opt.TopK, "top-k", 0, "sample among the `K` most likely tokens; 0: all")
	f.Float64Var(&o.opt.TopP, "top-p", 0, "sample among the smallest set with probability `P`; 0: all")
	f.Uint64Var(&o.opt.Seed, "seed", 0, "`seed` of the sampler")
	f.StringArrayVar(&o.opt.Stop, "stop", nil, "stop before `TEXT` (\\n and \\t are understood); may be repeated")
	baseFlag(c, &o.base)
	o.lookup.addFlags(c)
	precisionFlag(c, kernel.Int8)
	return c
}

// prompt reads what is to be completed.
func (a *app) prompt(ctx context.Context, file, at, suffix string) (engine.Prompt, error) {
	if file == "" {
		if at != "" {
			return engine.Prompt{}, fmt.Errorf("%w: complete: --at needs --file", errUsage)
		}
		text, err := io.ReadAll(a.stdin(ctx))
		return engine.Prompt{Prefix: string(text), Suffix: suffix}, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return engine.Prompt{}, err
	}
	if at == "" {
		return engine.Prompt{Prefix: string(text), Suffix: suffix}, nil
	}
	i, err := offset(string(text), at)
	if err != nil {
		return engine.Prompt{}, fmt.Errorf("%w: %s: %w", errUsage, file, err)
	}
	if suffix == "" {
		suffix = string(text[i:])
	}
	return engine.Prompt{Prefix: string(text[:i]), Suffix: suffix}, nil
}

// offset turns LINE:COLUMN into an offset in bytes.
func offset(text, at string) (int, error) {
	l, c, ok := strings.Cut(at, ":")
	line, err1 := strconv.Atoi(l)
	column, err2 := strconv.Atoi(c)
	if !ok || err1 != nil || err2 != nil || line < 1 || column < 1 {
		return 0, fmt.Errorf("cursor %q: want LINE:COLUMN, both from 1", at)
	}
	i := 0
	for range line - 1 {
		end := strings.IndexByte(text[i:], '\n')
		if end < 0 {
			return 0, fmt.Errorf("cursor %q: the file has fewer lines", at)
		}
		i += end + 1
	}
	for n, r := range text[i:] {
		if column--; column == 0 {
			return i + n, nil
		}
		if r == '\n' {
			return 0, fmt.Errorf("cursor %q: the line has fewer columns", at)
		}
	}
	if column > 1 {
		return 0, fmt.Errorf("cursor %q: the line has fewer columns", at)
	}
	return len(text), nil
}

func (a *app) complete(c *cobra.Command, b *base, r engine.Request) error {
	if !a.json {
		r.Emit = func(s string) error {
			_, err := io.WriteString(a.out, s)
			return err
		}
	}
	got, err := b.engine().Do(c.Context(), r)
	if err != nil {
		return err
	}
	a.notes(got)
	if a.json {
		return a.print(got, nil)
	}
	if !strings.HasSuffix(got.Text, "\n") {
		fmt.Fprintln(a.out)
	}
	return nil
}

// notes tells what was done to the prompt.
func (a *app) notes(c *engine.Completion) {
	if c.SuffixIgnored {
		a.note("note: this base has no fill-in-the-middle tokens; the text after the cursor was ignored")
	}
	if c.Truncated {
		a.note("note: the prompt did not fit the context; its beginning was cut")
	}
}

// comparison is a completion by base and by adapter.
type comparison struct {
	Base    *engine.Completion `json:"base"`
	Adapter *engine.Completion `json:"adapter"`
}

func (a *app) compare(c *cobra.Command, b *base, with engine.Request) error {
	without := with
	without.Adapter = nil
	both := b.engine().CompleteBatch(c.Context(), []engine.Request{without, with})
	if err := errors.Join(both[0].Err, both[1].Err); err != nil {
		return err
	}
	r := comparison{both[0].Completion, both[1].Completion}
	a.notes(r.Adapter)
	return a.print(r, func(w io.Writer) {
		show := func(name string, c *engine.Completion) {
			fmt.Fprintf(w, "--- %s (log-probability %.3f, %d tokens)\n%s\n", name, sum(c.LogProbs), len(c.Tokens), c.Text)
		}
		show("base", r.Base)
		show("adapter", r.Adapter)
	})
}

func sum(xs []float32) (s float64) {
	for _, x := range xs {
		s += float64(x)
	}
	return s
}
