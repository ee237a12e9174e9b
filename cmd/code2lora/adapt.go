package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapt"
	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/kernel"
)

// adapterJSON describes an adapter in results.
type adapterJSON struct {
	Path       string   `json:"path,omitempty"`
	Rank       int      `json:"rank"`
	Alpha      float64  `json:"alpha"`
	Parameters int      `json:"parameters"`
	Bytes      int64    `json:"bytes"`
	Modules    []string `json:"modules"`
	Digest     string   `json:"digest"`
}

// print writes the adapter as a line of text.
func (j *adapterJSON) print(w io.Writer) {
	fmt.Fprintf(w, "adapter     %s: rank %d, %d parameters, %.1f MB\n", j.Path, j.Rank, j.Parameters, float64(j.Bytes)/1e6)
}

func describeAdapter(a *adapter.Adapter, path string, bytes int64) adapterJSON {
	j := adapterJSON{Path: path, Rank: a.Rank, Alpha: a.Alpha, Parameters: a.NumParameters(), Bytes: bytes, Digest: adapter.Digest(a)}
	for _, m := range a.Modules() {
		j.Modules = append(j.Modules, m.String())
	}
	return j
}

func (a *app) adaptCmd() *cobra.Command {
	var o struct {
		ref, base, checkpoint, out, mode, store string
		include, exclude                        []string
		edit                                    edits
	}
	c := &cobra.Command{
		Use:   "adapt REPO -o DIR",
		Short: "Turn a repository into an adapter",
		Long: `Turn a repository into a LoRA adapter and write it to a folder.

REPO is a work tree, a bare repository, a URL, a source tree without git, or a
source archive. Of a git repository the commit at --at is read (HEAD by default,
without uncommitted changes). What is left out is reported: vendored, generated,
binary and large files, links and submodules, and tests unless the checkpoint
reads them.

With --mode additive or evo the adapter is that of the state at the commit: one
that "update" has kept, or one that is made from the nearest that is kept, and is
kept too. An additive state can be edited before the adapter is made, each time by
one subtraction or addition: --path, --without and --with, in this order.`,
		Example: "  code2lora adapt . -o .code2lora/adapter\n  code2lora adapt ../flask --at 3.0.0 -o flask-3.0.0\n" +
			"  code2lora adapt ../flask --mode additive --at 3.0.0 -o flask-3.0.0",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.out == "" {
				return fmt.Errorf("%w: adapt: give the adapter's folder with -o DIR", errUsage)
			}
			if o.edit.any() && !c.Flags().Changed("mode") {
				o.mode = modeAdditive
			}
			switch {
			case o.edit.any() && o.mode != modeAdditive:
				return fmt.Errorf("%w: adapt: --path, --without and --with are for --mode additive", errUsage)
			case o.mode != modeStatic && o.mode != modeEvo && o.mode != modeAdditive:
				return fmt.Errorf("%w: adapt: --mode %q: want static, evo or additive", errUsage, o.mode)
			case o.mode != modeStatic && len(o.include)+len(o.exclude) > 0:
				return fmt.Errorf("%w: adapt: --include and --exclude are for --mode static: a state is of all files", errUsage)
			case o.mode != modeStatic:
				return a.adaptState(c.Context(), args[0], o.out, followFlags{ref: o.ref, base: o.base, checkpoint: o.checkpoint, store: o.store, mode: o.mode}, o.edit)
			case o.store != "":
				return fmt.Errorf("%w: adapt: --store is for --mode evo and additive", errUsage)
			}
			b, err := a.openBase(c.Context(), o.base)
			if err != nil {
				return err
			}
			ad, report, err := a.adapt(c, args[0], o.checkpoint, b, adapt.Job{
				Ref: o.ref, Filter: gitrepo.Filter{Include: o.include, Exclude: o.exclude}})
			if err != nil {
				return err
			}
			if err := adapter.WriteNative(o.out, ad, adapter.Options{}); err != nil {
				return err
			}
			j := describeAdapter(ad, o.out, sizeOf(o.out))
			return a.print(map[string]any{"base": b.info.Name, "adapter": j, "report": report}, func(w io.Writer) {
				printReport(w, report)
				j.print(w)
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "output", "o", "", "write the adapter to `DIR`")
	f.StringVar(&o.ref, "at", "", "read the repository at `REF`: a branch, tag or commit (default HEAD)")
	f.StringVar(&o.checkpoint, "checkpoint", "", "hypernetwork checkpoint `FILE` (default: the one for the base)")
	f.StringVar(&o.mode, "mode", modeStatic, "`static`: read the commit; evo or additive: by the state at the commit, see update")
	f.StringVar(&o.store, "store", "", "where states are kept, as for update: `WHERE`")
	f.StringVar(&o.edit.path, "path", "", "for a folder of the repository alone, `DIR`, as of a monorepo (implies --mode additive)")
	f.StringArrayVar(&o.edit.without, "without", nil, "as if the repository had no file or folder `PATH`; may be repeated (implies --mode additive)")
	f.StringArrayVar(&o.edit.with, "with", nil, "together with `REPO`, such as a dependency, at its HEAD; may be repeated (implies --mode additive)")
	f.StringArrayVar(&o.include, "include", nil, "read only files that match `GLOB`, as in 'src/**'; may be repeated")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out files that match `GLOB`; may be repeated")
	baseFlag(c, &o.base)
	precisionFlag(c, kernel.Int8)
	return c
}

// adaptState makes the adapter of the state at a commit.
func (a *app) adaptState(ctx context.Context, repo, out string, o followFlags, e edits) error {
	f, err := a.openFollowed(ctx, repo, o)
	if err != nil {
		return err
	}
	s, res, err := follow.At(ctx, f.Job)
	if err != nil {
		return err
	}
	a.noteAll(res.Notes)
	if s, err = a.edit(ctx, f, s, e); err != nil {
		return err
	}
	ad, err := f.adapter(s, res)
	if err != nil {
		return err
	}
	if err := adapter.WriteNative(out, ad, adapter.Options{}); err != nil {
		return err
	}
	j := describeAdapter(ad, out, sizeOf(out))
	state := map[string]any{"repository": f.Repo.Name(), "commit": res.Commit, "mode": f.mode, "from": res.From, "anchor": res.Anchor,
		"steps": res.Steps, "applied": res.Applied, "churn": res.Churn, "exact": res.Exact, "seconds": res.Seconds, "files": ad.Provenance.Files, "tokens": ad.Provenance.Tokens,
		"path": e.path, "without": append([]string{}, e.without...), "with": append([]string{}, e.with...)}
	return a.print(map[string]any{"base": f.base.info.Name, "adapter": j, "state": state}, func(w io.Writer) {
		fmt.Fprintf(w, "repository  %s at %.12s\nstate       %s: %d commits since its anchor %.12s, %d applied now in %.3f s\ndrift       %s\n",
			f.Repo.Name(), res.Commit, f.mode, res.Steps, res.Anchor, res.Applied, res.Seconds, driftText(res.Exact, res.Churn))
		fmt.Fprintf(w, "read        %d files, %d tokens\n", ad.Provenance.Files, ad.Provenance.Tokens)
		j.print(w)
	})
}

// adapt runs the main job with progress on standard error.
func (a *app) adapt(c *cobra.Command, repo, checkpointPath string, b *base, job adapt.Job) (*adapter.Adapter, *adapt.Report, error) {
	ck, err := a.loadCheckpoint(checkpointPath, b)
	if err != nil {
		return nil, nil, err
	}
	cache, err := vectorCache()
	if err != nil {
		return nil, nil, err
	}
	job.Repository, job.Network, job.Git, job.Cache, job.Tool = repo, networkAllowed(), a.err, cache, tool()
	job.Checkpoint, job.CheckpointSHA256, job.Model, job.Tokenizer = ck.Checkpoint, ck.sha256, b.model, b.tokenizer
	if a.quiet {
		job.Git = nil
	}
	bar := a.bar()
	defer bar.done()
	return adapt.Run(c.Context(), job, bar.reading)
}

func printReport(w io.Writer, r *adapt.Report) {
	fmt.Fprintf(w, "repository  %s", r.Repository)
	if r.Commit != "" {
		fmt.Fprintf(w, " at %.12s", r.Commit)
	}
	fmt.Fprintf(w, "\nread        %d files, %d tokens", r.Files, r.Tokens)
	if r.LeftOut > 0 {
		fmt.Fprintf(w, " (%d files left out by the encoder's limit)", r.LeftOut)
	}
	fmt.Fprintln(w)
	if s := adapt.Skips(r.Skipped); s != "" {
		fmt.Fprintf(w, "skipped     %s\n", s)
	}
	fmt.Fprintf(w, "seconds     read %.1f, encode %.1f, generate %.2f\n", r.Seconds["read"], r.Seconds["encode"], r.Seconds["generate"])
	fmt.Fprintf(w, "condition   distance %.3f from the checkpoint's average adapter, cosine %.3f", r.Conditioning.Distance, r.Conditioning.Cosine)
	if r.Conditioning.Distance < adapt.Inactive {
		fmt.Fprint(w, " (next to nothing: this adapter hardly depends on the repository)")
	}
	fmt.Fprintln(w)
}

// sizeOf adds up the files of a folder, or gives the size of a file.
func sizeOf(path string) (n int64) {
	entries, err := os.ReadDir(path)
	if err != nil {
		if info, err := os.Stat(path); err == nil {
			return info.Size()
		}
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}
