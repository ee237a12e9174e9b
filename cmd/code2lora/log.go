package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/curves"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/store"
)

// logJSON is a line of the log.
type logJSON struct {
	Commit  string    `json:"commit"`
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	State   *logState `json:"state,omitempty"`
}

type logState struct {
	Anchor string    `json:"anchor"`
	Steps  int       `json:"steps"`
	Bytes  int64     `json:"bytes"`
	Made   time.Time `json:"made"`
	Norm   *float64  `json:"norm,omitempty"`
	Churn  *float64  `json:"churn,omitempty"`
	Drift  *float64  `json:"drift,omitempty"`
}

func (a *app) logCmd() *cobra.Command {
	var o followFlags
	var n int
	c := &cobra.Command{
		Use:   "log REPO",
		Short: "List commits with their states",
		Long: `List commits along first parents, the newest first: whether a state is kept, how
many commits it has followed since its anchor, the norm of its adapter, and its
drift: as measured by "drift", else the churn that estimates it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			job, err := a.openLog(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			lines, notes, err := follow.Log(c.Context(), *job, n)
			if err != nil {
				return err
			}
			a.noteAll(notes)
			list := []logJSON{}
			for _, l := range lines {
				j := logJSON{Commit: l.Commit.ID, Time: l.Commit.Time, Subject: l.Commit.Subject}
				if e := l.State; e != nil {
					j.State = &logState{Anchor: e.Anchor, Steps: e.Steps, Bytes: e.Size, Made: e.Made,
						Norm: l.Norm, Churn: l.Churn, Drift: l.Drift}
				}
				list = append(list, j)
			}
			return a.print(map[string]any{"commits": list, "notes": notes}, func(w io.Writer) { printLog(w, list) })
		},
	}
	c.Flags().IntVarP(&n, "number", "n", 20, "list `N` commits (0: all)")
	o.add(c)
	return c
}

func printLog(w io.Writer, list []logJSON) {
	for _, l := range list {
		what := "-"
		if s := l.State; s != nil {
			what = fmt.Sprintf("%5d steps", s.Steps)
			if s.Norm != nil {
				what += fmt.Sprintf("  norm %.4f", *s.Norm)
			}
			switch {
			case s.Drift != nil:
				what += fmt.Sprintf("  drift %.4f", *s.Drift)
			case s.Churn != nil:
				what += fmt.Sprintf("  churn %.3f", *s.Churn)
			default:
				what += "  no drift"
			}
		}
		fmt.Fprintf(w, "%.12s  %s  %-40s  %.60s\n", l.Commit, day(l.Time), what, l.Subject)
	}
}

func (a *app) driftCmd() *cobra.Command {
	var o followFlags
	var samples int
	var out string
	c := &cobra.Command{
		Use:   "drift REPO",
		Short: "Measure how far kept states are from fresh ones",
		Long: `Compare the adapters of kept states with those of states that are begun at the
same commits: the distance ‖ΔW − ΔW'‖ / ‖ΔW'‖. It reads all of the repository at each
commit, so a few of them are taken, evenly spread.`,
		Example: "  code2lora update . --from root\n  code2lora drift . --samples 20 -o drift",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.openFollowed(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			bar := a.bar()
			done := 0
			list, err := follow.Measure(c.Context(), f.Job, samples, func(d follow.Drift) {
				done++
				bar.show("%d of at most %d commits, the last at distance %.4f", done, samples, d.Distance)
			})
			bar.done()
			if err != nil {
				return err
			}
			if out != "" {
				if err := writeDrift(out, list); err != nil {
					return err
				}
			}
			return a.print(map[string]any{"drift": list, "output": out}, func(w io.Writer) {
				for _, d := range list {
					fmt.Fprintf(w, "%.12s  %5d steps  churn %.3f  distance %.6f  cosine %.6f  (state at the anchor: %.6f)  %.3f s\n",
						d.Commit, d.Steps, d.Churn, d.Distance, d.Cosine, d.Anchored, d.Seconds)
				}
			})
		},
	}
	f := c.Flags()
	f.IntVar(&samples, "samples", 10, "measure at `N` commits")
	f.StringVarP(&out, "output", "o", "", "write drift.jsonl and drift.svg to `DIR`")
	o.add(c)
	return c
}

// writeDrift writes the measurements and their drawing.
func writeDrift(dir string, list []follow.Drift) error {
	if err := store.WriteFile(filepath.Join(dir, "drift.jsonl"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, d := range list {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	drawing, err := curves.Drift(list)
	if err != nil {
		return err
	}
	return store.WriteFile(filepath.Join(dir, "drift.svg"), func(w io.Writer) error {
		_, err := drawing.WriteTo(w)
		return err
	})
}
