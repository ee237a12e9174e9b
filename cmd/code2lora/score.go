package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/score"
)

func (a *app) scoreCmd() *cobra.Command {
	var o struct {
		base, adapter string
		details       bool
		maxPrefix     int
	}
	c := &cobra.Command{
		Use:   "score TASKS.jsonl",
		Short: "Score a base, or a base with an adapter, on tasks",
		Long: `Score tasks: one {"prefix": ..., "target": ...} a line; "-" reads standard input.

exact_match is the share of tasks whose greedy continuation begins with exactly
the target's tokens and then leaves it: the next token starts with a newline, a
closing bracket, a comma or a comment sign, or ends the text. cross_entropy is
in nats per target token. Prefix and target are tokenised on their own.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.maxPrefix < 0 {
				return fmt.Errorf("%w: score: --max-prefix %d: want 0 or more", errUsage, o.maxPrefix)
			}
			tasks, err := a.readTasks(c.Context(), args[0])
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
			s := score.Scorer{Base: b.compute(), Tokenizer: b.tokenizer, MaxPrefixTokens: o.maxPrefix}
			bar := a.bar()
			values, err := s.Score(c.Context(), tasks, ad, func(done int) { bar.show("%d of %d tasks", done, len(tasks)) })
			bar.done()
			if err != nil {
				return err
			}
			result := scoreResult{Base: b.info.Name, Adapter: o.adapter, Summary: score.Summarize(values)}
			if o.details {
				result.Details = values
			}
			return a.print(result, func(w io.Writer) { printScore(w, result) })
		},
	}
	c.Flags().StringVar(&o.adapter, "adapter", "", "use the adapter in `DIR` (any format)")
	c.Flags().BoolVar(&o.details, "details", false, "add the values of each task")
	c.Flags().IntVar(&o.maxPrefix, "max-prefix", 0, "cut prefixes at their beginning to `N` tokens (default: what the context allows)")
	baseFlag(c, &o.base)
	precisionFlag(c, kernel.Float32)
	return c
}

// scoreResult is what score prints with --json.
type scoreResult struct {
	Base    string `json:"base"`
	Adapter string `json:"adapter,omitempty"`
	score.Summary
	Details []score.Value `json:"details,omitempty"`
}

func printScore(w io.Writer, r scoreResult) {
	fmt.Fprintf(w, "tasks          %d\nexact match    %.4f\ncross-entropy  %.4f nats per target token\n", r.Tasks, r.ExactMatch, r.CrossEntropy)
	for i, v := range r.Details {
		fmt.Fprintf(w, "%6d  %-5t  %.4f  %d tokens\n", i+1, v.ExactMatch, v.CrossEntropy, v.Tokens)
	}
}

// readTasks reads a tasks file.
func (a *app) readTasks(ctx context.Context, path string) ([]score.Task, error) {
	var in io.Reader
	if path == "-" {
		in = a.stdin(ctx)
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	tasks, err := score.ReadTasks(in)
	if err != nil {
		return nil, unusable(fmt.Errorf("tasks %s: %w", path, err))
	}
	return tasks, nil
}
