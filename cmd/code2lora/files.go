package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// readAdapter reads an adapter in any format. The base is needed, to know its
// dimensions, only for files that do not say them; without a name the default
// is tried, if it is on this machine.
func (a *app) readAdapter(ctx context.Context, path, base string) (*adapter.Adapter, error) {
	ad, err := adapter.Read(path, nil)
	if err := ctx.Err(); err != nil { // what follows may take long, or write
		return nil, err
	}
	if err == nil && base == "" {
		return ad, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if base == "" && !haveDefaultBase(ctx) {
		return nil, unusable(fmt.Errorf("adapter %s: %w", path, err))
	}
	info, file, baseErr := a.resolveBase(ctx, base)
	if baseErr != nil {
		return nil, baseErr
	}
	cfg, baseErr := model.ReadConfig(file)
	if baseErr != nil {
		return nil, unusable(baseErr)
	}
	dims := cfg.Dims()
	if ad, err = adapter.Read(path, &dims); err != nil {
		return nil, unusable(fmt.Errorf("adapter %s: %w", path, err))
	}
	id := adapter.Base{Name: info.Name, HubID: info.HubID, SHA256: info.SHA256}
	if err := adapter.CheckBase(ad, id, dims); err != nil {
		return nil, fmt.Errorf("adapter %s: %w", path, err)
	}
	if ad.Provenance.Base.SHA256 == "" {
		ad.Provenance.Base = id
	}
	return ad, nil
}

// haveDefaultBase reports whether the default base needs no download.
func haveDefaultBase(ctx context.Context) bool {
	name, err := catalog.Default()
	if err != nil {
		return false
	}
	m, err := catalog.Lookup(name)
	if err != nil {
		return false
	}
	_, ok, err := catalog.Path(ctx, m)
	return ok && err == nil
}

// dtypeOf parses the names of --dtype.
func dtypeOf(name string) (safetensors.DType, error) {
	switch t := safetensors.DType(strings.ToUpper(name)); t {
	case safetensors.F32, safetensors.F16, safetensors.BF16:
		return t, nil
	}
	return "", fmt.Errorf("%w: type %q: want f32, f16 or bf16", errUsage, name)
}

func (a *app) exportCmd() *cobra.Command {
	var format, out, dtype, base string
	c := &cobra.Command{
		Use:   "export DIR --format peft|gguf|native -o OUT",
		Short: "Write an adapter in another format",
		Long: `Write an adapter for other tools: a PEFT folder (transformers, vLLM, TGI, LoRAX),
or a GGUF file (llama.cpp, Ollama), or a folder in the program's own format.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fmt.Errorf("%w: export: say where to write with -o OUT", errUsage)
			}
			t, err := dtypeOf(dtype)
			if err != nil {
				return err
			}
			write := map[string]func(string, *adapter.Adapter, adapter.Options) error{
				"peft": adapter.WritePEFT, "gguf": adapter.WriteGGUF, "native": adapter.WriteNative,
			}[format]
			if write == nil {
				return fmt.Errorf("%w: export: format %q: want peft, gguf or native", errUsage, format)
			}
			ad, err := a.readAdapter(c.Context(), args[0], base)
			if err != nil {
				return err
			}
			if err := write(out, ad, adapter.Options{DType: t}); err != nil {
				return err
			}
			return a.written(ad, format, out)
		},
	}
	c.Flags().StringVar(&format, "format", "", "`peft|gguf|native`")
	c.Flags().StringVarP(&out, "output", "o", "", "folder, or file for gguf, to write")
	c.Flags().StringVar(&dtype, "dtype", "f32", "store factors as `f32|f16|bf16`")
	baseFlag(c, &base)
	return c
}

func (a *app) importCmd() *cobra.Command {
	var out, base string
	c := &cobra.Command{
		Use:   "import IN -o DIR",
		Short: "Read a PEFT folder or a GGUF adapter",
		Long: `Read an adapter made by another tool, a PEFT folder or a GGUF file, and write it
as a folder in the program's own format. The base says what the adapter must fit.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fmt.Errorf("%w: import: say where to write with -o DIR", errUsage)
			}
			ad, err := a.readAdapter(c.Context(), args[0], base)
			if err != nil {
				return err
			}
			if err := adapter.WriteNative(out, ad, adapter.Options{}); err != nil {
				return err
			}
			return a.written(ad, "native", out)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "write the adapter to `DIR`")
	baseFlag(c, &base)
	return c
}

func (a *app) written(ad *adapter.Adapter, format, out string) error {
	j := describeAdapter(ad, out, sizeOf(out))
	return a.print(map[string]any{"format": format, "adapter": j}, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s: rank %d, %d parameters, %.1f MB\n", format, out, j.Rank, j.Parameters, float64(j.Bytes)/1e6)
	})
}

func (a *app) mergeCmd() *cobra.Command {
	var out, base, dtype string
	c := &cobra.Command{
		Use:   "merge DIR -o OUT",
		Short: "Write a base model with an adapter merged into it",
		Long: `Write a copy of the base model with the adapter added to its weights: a GGUF file
if OUT ends in .gguf, a safetensors file with Hugging Face names if it ends in
.safetensors. Memory is needed for a few rows only.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return fmt.Errorf("%w: merge: say where to write with -o OUT", errUsage)
			}
			name := base
			ad, err := a.readAdapter(c.Context(), args[0], base)
			if err != nil {
				return err
			}
			if name == "" {
				if name, err = baseOf(ad); err != nil {
					return fmt.Errorf("adapter %s: %w; give its base's file with --base", args[0], err)
				}
			}
			info, file, err := a.resolveBase(c.Context(), name)
			if err != nil {
				return err
			}
			cfg, err := model.ReadConfig(file)
			if err != nil {
				return unusable(err)
			}
			id := adapter.Base{Name: info.Name, HubID: info.HubID, SHA256: info.SHA256}
			if err := adapter.CheckBase(ad, id, cfg.Dims()); err != nil {
				return fmt.Errorf("adapter %s: %w", args[0], err)
			}
			if err := merge(file, ad, out, dtype); err != nil {
				return err
			}
			result := map[string]any{"base": info.Name, "path": out, "bytes": sizeOf(out)}
			return a.print(result, func(w io.Writer) { fmt.Fprintf(w, "merged  %s: %.0f MB\n", out, float64(sizeOf(out))/1e6) })
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "write to `OUT` (.gguf or .safetensors)")
	c.Flags().StringVar(&dtype, "dtype", "f16", "store adapted weights as `f32|f16|bf16`, or q8_0 in GGUF")
	baseFlag(c, &base)
	return c
}

// baseOf returns the name in the catalogue of the base that an adapter was
// made for: the model with the same weights or, if the adapter does not say
// which these are, the same name.
func baseOf(ad *adapter.Adapter) (string, error) {
	models, err := catalog.List()
	if err != nil {
		return "", err
	}
	base := ad.Provenance.Base
	for _, m := range models {
		if m.SHA256 == base.SHA256 {
			return m.Name, nil
		}
	}
	m, err := catalog.Lookup(base.Name)
	return m.Name, err
}

// merge writes the merged base in the format that the name of out asks for.
func merge(file string, ad *adapter.Adapter, out, dtype string) error {
	switch strings.ToLower(filepath.Ext(out)) {
	case ".gguf":
		t, err := gguf.ParseType(strings.ToUpper(dtype))
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return adapter.MergeGGUF(file, ad, out, t)
	case ".safetensors":
		t, err := dtypeOf(dtype)
		if err != nil {
			return err
		}
		return adapter.MergeSafetensors(file, ad, out, t)
	}
	return fmt.Errorf("%w: merge: %s: want a name that ends in .gguf or .safetensors", errUsage, out)
}

// moduleJSON has the norms of one module type.
type moduleJSON struct {
	Module string  `json:"module"`
	Layers int     `json:"layers"`
	A      float64 `json:"norm_a"`
	B      float64 `json:"norm_b"`
	Delta  float64 `json:"norm_delta"`
}

func (a *app) inspectCmd() *cobra.Command {
	var base string
	c := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Show what an adapter is and where it comes from",
		Long: `Show an adapter's base, repository, commit, encoder and checkpoint, the norms of
its factors and of its updates per module type, and how far it is from the
average adapter of its checkpoint (0 would mean that the repository did not
matter).`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ad, err := a.readAdapter(c.Context(), args[0], base)
			if err != nil {
				return err
			}
			var mods []moduleJSON
			for _, n := range adapter.Norms(ad) {
				mods = append(mods, moduleJSON{n.Module.String(), n.Layers, n.A, n.B, n.Delta})
			}
			j := describeAdapter(ad, args[0], sizeOf(args[0]))
			result := map[string]any{"adapter": j, "provenance": ad.Provenance, "arch": ad.Dims.Arch,
				"layers": ad.Dims.NumHiddenLayers, "shared": ad.Shared(), "norms": mods}
			return a.print(result, func(w io.Writer) { printInspection(w, ad, j, mods) })
		},
	}
	baseFlag(c, &base)
	return c
}

func printInspection(w io.Writer, ad *adapter.Adapter, j adapterJSON, mods []moduleJSON) {
	p := ad.Provenance
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s"+format+"\n", append([]any{name}, args...)...)
	}
	or := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	row("base", "%s (sha256 %s), %s, %d layers", or(p.Base.Name), or(p.Base.SHA256), ad.Dims.Arch, ad.Dims.NumHiddenLayers)
	row("repository", "%s at %s", or(p.Repository), or(p.Commit))
	row("encoder", "%s", or(p.Encoder))
	row("read", "%d files, %d tokens, digest %s", p.Files, p.Tokens, or(p.EncoderInput))
	row("checkpoint", "%s (sha256 %s)", or(p.Checkpoint), or(p.CheckpointSHA256))
	row("tool", "%s", or(p.Tool))
	row("adapter", "rank %d, alpha %g, %d parameters, digest %s", j.Rank, j.Alpha, j.Parameters, j.Digest)
	if p.MeanDistance != nil {
		row("condition", "distance %.4f from the checkpoint's average adapter", *p.MeanDistance)
	}
	fmt.Fprintf(w, "\n%-10s  %6s  %10s  %10s  %10s\n", "module", "layers", "‖A‖", "‖B‖", "‖ΔW‖")
	for _, m := range mods {
		fmt.Fprintf(w, "%-10s  %6d  %10.4f  %10.4f  %10.4f\n", m.Module, m.Layers, m.A, m.B, m.Delta)
	}
}
