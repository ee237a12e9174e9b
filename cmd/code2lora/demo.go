package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapt"
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/sample"
	"github.com/code2lora/code2lora/internal/score"
	"github.com/code2lora/code2lora/internal/store"
)

// The demo completes this many assertions, given this many lines before each.
const (
	demoAssertions = 3
	demoLines      = 60
)

// demoCompletion is one held-out assertion of the demo.
type demoCompletion struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Prompt  string `json:"prompt"` // last line of the prefix
	Target  string `json:"target"`
	Base    string `json:"base"`
	Adapter string `json:"adapter"`
	// Cross-entropies of the target, in nats per token.
	BaseCrossEntropy    float64 `json:"base_cross_entropy"`
	AdapterCrossEntropy float64 `json:"adapter_cross_entropy"`
}

// demoResult is what the demo prints with --json.
type demoResult struct {
	Base       string             `json:"base"`
	Repository string             `json:"repository"`
	Commit     string             `json:"commit,omitempty"`
	Files      int                `json:"files"`
	Tokens     int                `json:"tokens"`
	Adapter    adapterJSON        `json:"adapter"`
	Seconds    map[string]float64 `json:"seconds"`
	// Distance from the checkpoint's average adapter, and cosine with it; see
	// [adapt.Conditioning].
	Conditioning float64          `json:"conditioning"`
	Cosine       float64          `json:"conditioning_cosine"`
	Completions  []demoCompletion `json:"completions"`
}

func (a *app) demoCmd() *cobra.Command {
	var baseName, checkpoint string
	c := &cobra.Command{
		Use:   "demo [REPO]",
		Short: "Adapt a real repository and complete three of its assertions",
		Long: fmt.Sprintf(`Do the main job once, from the beginning: pull the base model if needed, turn a
repository into an adapter, and complete three assertions of its tests with the
base and with the adapter. The tests are not read for the adapter.

The default repository is %s %s, which no checkpoint was trained or tuned on.`, sample.Name, sample.Release),
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, report, err := a.demo(c, baseName, checkpoint, args)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { printDemo(w, r, report) })
		},
	}
	c.Flags().StringVar(&checkpoint, "checkpoint", "", "hypernetwork checkpoint `FILE` (default: the one for the base)")
	baseFlag(c, &baseName)
	precisionFlag(c, kernel.Int8)
	return c
}

func (a *app) demo(c *cobra.Command, baseName, checkpoint string, args []string) (*demoResult, *adapt.Report, error) {
	ctx := c.Context()
	began := time.Now()
	b, err := a.loadBase(ctx, baseName)
	if err != nil {
		return nil, nil, err
	}
	loaded := time.Since(began).Seconds()
	began = time.Now()
	spec, name := "", ""
	if len(args) > 0 {
		spec = args[0]
	} else if spec, err = a.demoRepository(ctx); err != nil {
		return nil, nil, err
	} else {
		name = sample.Name
	}
	fetched := time.Since(began).Seconds()
	ad, report, err := a.adapt(c, spec, checkpoint, b, adapt.Job{Name: name})
	if err != nil {
		return nil, nil, err
	}
	r := &demoResult{Base: b.info.Name, Repository: report.Repository, Commit: report.Commit, Files: report.Files, Tokens: report.Tokens,
		Adapter: describeAdapter(ad, "", int64(4*ad.NumParameters())), Seconds: report.Seconds, Conditioning: report.Conditioning.Distance, Cosine: report.Conditioning.Cosine}
	r.Seconds["base"], r.Seconds["fetch"] = loaded, fetched
	began = time.Now()
	if r.Completions, err = a.demoCompletions(c, b, ad, spec, name); err != nil {
		return nil, nil, err
	}
	r.Seconds["complete"] = time.Since(began).Seconds()
	return r, report, nil
}

// demoRepository returns the path of the default repository.
func (a *app) demoRepository(ctx context.Context) (string, error) {
	if path := sample.Present(); path != "" {
		return path, nil
	}
	if !networkAllowed() {
		return "", fmt.Errorf("%s is not on this machine: %w, as %s says; give another repository", sample.Name, gitrepo.ErrNetwork, catalog.OfflineVar)
	}
	return sample.Fetch(ctx, func(s string) { a.note("%s", s) })
}

// demoCompletions completes held-out assertions with the base and the adapter.
func (a *app) demoCompletions(c *cobra.Command, b *base, ad *adapter.Adapter, spec, name string) ([]demoCompletion, error) {
	ctx := c.Context()
	repo, err := gitrepo.Open(ctx, spec, gitrepo.Options{AllowNetwork: networkAllowed(), CacheDir: store.Clones(), Name: name})
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	snap, err := repo.Snapshot(ctx, "", gitrepo.Filter{})
	if err != nil {
		return nil, err
	}
	tasks, err := sample.Assertions(ctx, snap, demoAssertions, demoLines)
	if err != nil {
		return nil, err
	}
	scorer := score.Scorer{Base: b.compute(), Tokenizer: b.tokenizer}
	opt := engine.Options{MaxTokens: 32, Stop: []string{"\n"}}
	completions := []demoCompletion{}
	bar := a.bar()
	defer bar.done()
	for i, t := range tasks {
		bar.show("completing assertion %d of %d", i+1, len(tasks))
		d := demoCompletion{File: t.File, Line: t.Line, Target: t.Target, Prompt: t.Prefix[strings.LastIndexByte(t.Prefix, '\n')+1:]}
		for _, with := range []struct {
			adapter *adapter.Adapter
			text    *string
			ce      *float64
		}{{nil, &d.Base, &d.BaseCrossEntropy}, {ad, &d.Adapter, &d.AdapterCrossEntropy}} {
			got, err := b.engine().Complete(ctx, engine.Prompt{Prefix: t.Prefix}, with.adapter, opt, nil)
			if err != nil {
				return nil, err
			}
			values, err := scorer.Score(ctx, []score.Task{{Prefix: t.Prefix, Target: t.Target}}, with.adapter, nil)
			if err != nil {
				return nil, err
			}
			*with.text, *with.ce = got.Text, values[0].CrossEntropy
		}
		completions = append(completions, d)
	}
	return completions, nil
}

func printDemo(w io.Writer, r *demoResult, report *adapt.Report) {
	fmt.Fprintf(w, "base        %s\n", r.Base)
	printReport(w, report)
	fmt.Fprintf(w, "adapter     rank %d, %d parameters, %.1f MB in memory\n", r.Adapter.Rank, r.Adapter.Parameters, float64(r.Adapter.Bytes)/1e6)
	if len(r.Completions) == 0 {
		fmt.Fprintln(w, "\nIts tests have no assertions to complete.")
		return
	}
	for _, c := range r.Completions {
		fmt.Fprintf(w, "\n%s:%d\n  %s\n", c.File, c.Line, strings.TrimSpace(c.Prompt))
		fmt.Fprintf(w, "    target    %s\n", c.Target)
		fmt.Fprintf(w, "    base      %s   (cross-entropy of the target %.2f)\n", strings.TrimSpace(c.Base), c.BaseCrossEntropy)
		fmt.Fprintf(w, "    adapter   %s   (cross-entropy of the target %.2f)\n", strings.TrimSpace(c.Adapter), c.AdapterCrossEntropy)
	}
	fmt.Fprintf(w, "\ncompletions took %.1f s\n", r.Seconds["complete"])
}
