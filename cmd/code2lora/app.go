package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

// app is one execution of the program: its streams, and what every command
// shares.
type app struct {
	in       io.Reader
	out, err io.Writer
	json     bool
	quiet    bool
	closers  []func() error
}

func (a *app) close() {
	for _, c := range a.closers {
		c()
	}
	a.closers = nil
}

// root builds the command tree.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "code2lora",
		Short: "Turn a repository into a LoRA adapter for a code model, and complete code with it",
		Long: `code2lora reads a repository once and turns it into a LoRA adapter for a frozen
code language model: a hypernetwork generates the adapter in one pass, nothing is
trained. Completions then know the repository without extra prompt tokens.

Exit codes: 0 done, 1 failure, 2 wrong usage, 3 unusable input, 4 base model
unknown, missing or not the adapter's, 5 test repository given to a trainer,
130 interrupted.

No command but "pull" uses the network, except that a base model is pulled at
its first use (which says so; CODE2LORA_OFFLINE=1 forbids it), and that a URL
given as a repository is cloned.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	c.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object on standard output")
	c.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress on standard error")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: %s: %w", errUsage, c.CommandPath(), err)
	})
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := fmt.Errorf("%w: unknown command %q", errUsage, args[0])
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
		}
		return err
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(a.pullCmd(), a.modelsCmd(), a.demoCmd(), a.adaptCmd(), a.updateCmd(), a.logCmd(), a.watchCmd(),
		a.hooksCmd(), a.driftCmd(), a.completeCmd(), a.scoreCmd(), a.inspectCmd(),
		a.exportCmd(), a.importCmd(), a.mergeCmd(), a.trainCmd(), a.tuneCmd(), a.evaluateCmd(), a.plotCmd(), a.benchCmd())
	c.InitDefaultCompletionCmd()
	for _, sub := range c.Commands() {
		usageErrors(sub)
	}
	return c
}

// usageErrors makes wrong arguments of a command, and of those below it, usage
// errors.
func usageErrors(c *cobra.Command) {
	for _, sub := range c.Commands() {
		usageErrors(sub)
	}
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return fmt.Errorf("%w: %s: %w", errUsage, c.UseLine(), err)
			}
			return nil
		}
	}
}

// version is the module's version, or the commit that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// tool names the program in provenance.
func tool() string { return "code2lora " + version() }

// stdin is the standard input, which ends with ctx: a read from a terminal
// would not.
func (a *app) stdin(ctx context.Context) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(w, a.in)
		w.CloseWithError(err)
	}()
	return r
}

// print writes the result: v as JSON with --json, else what text writes.
func (a *app) print(v any, text func(w io.Writer)) error {
	if !a.json {
		text(a.out)
		return nil
	}
	return encodeJSON(a.out, v)
}

func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// note writes a line for the user to standard error.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// base is a base model.
type base struct {
	info      catalog.Model
	config    model.Config
	model     *model.Model         // nil if it was not opened
	tokenizer *tokenizer.Tokenizer // likewise
}

// id identifies the base in adapters and checkpoints.
func (b *base) id() adapter.Base {
	return adapter.Base{Name: b.info.Name, HubID: b.info.HubID, SHA256: b.info.SHA256}
}

// compute answers the requests of evaluations.
func (b *base) compute() compute.Backend { return &compute.Local{Model: b.model, Base: b.info.SHA256} }

func (b *base) engine() *engine.Engine { return &engine.Engine{Model: b.model, Tokenizer: b.tokenizer} }

// loadBase finds a base model by name or file, pulling it at first use, and
// loads it for the precision that was set.
func (a *app) loadBase(ctx context.Context, name string) (*base, error) {
	return a.baseBy(ctx, name, model.Load)
}

// openBase is loadBase for commands that may need some of the weights, or none:
// they are packed when they are needed.
func (a *app) openBase(ctx context.Context, name string) (*base, error) {
	return a.baseBy(ctx, name, model.Open)
}

// describeBase is loadBase for commands that need to know which base it is.
func (a *app) describeBase(ctx context.Context, name string) (*base, error) {
	info, path, err := a.resolveBase(ctx, name)
	if err != nil {
		return nil, err
	}
	c, err := model.ReadConfig(path)
	if err != nil {
		return nil, unusable(err)
	}
	return &base{info: info, config: c}, nil
}

func (a *app) baseBy(ctx context.Context, name string, load func(string) (*model.Model, *tokenizer.Tokenizer, error)) (*base, error) {
	info, path, err := a.resolveBase(ctx, name)
	if err != nil {
		return nil, err
	}
	if why := kernel.Portable(); why != "" {
		a.note("note: computing with the portable kernels, many times slower than those for AVX2: %s", why)
	}
	m, t, err := load(path)
	if err != nil {
		return nil, unusable(err)
	}
	a.closers = append(a.closers, m.Close)
	return &base{info, m.Config, m, t}, nil
}

// resolveBase finds a base model without loading it. An empty name is the
// default of the catalogue.
func (a *app) resolveBase(ctx context.Context, name string) (catalog.Model, string, error) {
	if name == "" {
		var err error
		if name, err = catalog.Default(); err != nil {
			return catalog.Model{}, "", err
		}
	}
	bar := a.bar()
	defer bar.done()
	info, path, err := catalog.Resolve(ctx, name, catalog.Options{
		Notice:   func(s string) { a.note("%s", s) },
		Progress: bar.bytes,
	})
	if _, statErr := os.Stat(name); err != nil && statErr == nil {
		err = unusable(err) // a file that is no model
	}
	return info, path, err
}

// networkAllowed reports whether repositories may be fetched.
func networkAllowed() bool {
	switch strings.ToUpper(os.Getenv(catalog.OfflineVar)) {
	case "1", "ON", "YES", "TRUE":
		return false
	}
	return true
}

// loadAdapter reads an adapter in any format and checks that it was made for
// the base.
func (a *app) loadAdapter(path string, b *base) (*adapter.Adapter, error) {
	if path == "" {
		return nil, nil
	}
	dims := b.model.Config.Dims()
	ad, err := adapter.Read(path, &dims)
	if err != nil {
		return nil, unusable(fmt.Errorf("adapter %s: %w", path, err))
	}
	if err := adapter.CheckBase(ad, b.id(), dims); err != nil {
		return nil, fmt.Errorf("adapter %s: %w", path, err)
	}
	return ad, nil
}

// vectorCache opens the cache of file vectors.
func vectorCache() (encoder.Cache, error) {
	return store.Open(filepath.Join(store.Root(), "vectors"))
}

// precisionFlag adds --precision, which is set before the command runs: the
// one given, else that of the environment, else the command's own.
func precisionFlag(c *cobra.Command, own kernel.Precision) {
	var name string
	c.Flags().StringVar(&name, "precision", "", "compute in `PRECISION`: float32, bfloat16 or int8 (default "+own.String()+")")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		p := own
		switch {
		case name != "":
			var err error
			if p, err = kernel.ParsePrecision(name); err != nil {
				return fmt.Errorf("%w: %s: --precision: %w", errUsage, c.CommandPath(), err)
			}
		case os.Getenv(kernel.PrecisionVar) != "":
			p = kernel.CurrentPrecision()
		}
		was := kernel.CurrentPrecision()
		if err := kernel.SetPrecision(p); err != nil {
			return fmt.Errorf("%w: %s: --precision: %w", errUsage, c.CommandPath(), err)
		}
		defer kernel.SetPrecision(was)
		return run(c, args)
	}
}

// baseFlag adds --base.
func baseFlag(c *cobra.Command, name *string) {
	c.Flags().StringVar(name, "base", "", "base model: a `NAME` of the catalogue or a GGUF file (default: the catalogue's)")
}
