package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/follow"
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
