package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

func (a *app) watchCmd() *cobra.Command {
	var o updateFlags
	var poll time.Duration
	var pollOnly bool
	c := &cobra.Command{
		Use:   "watch REPO",
		Short: "Update a local repository whenever a commit is made",
		Long: `Update a local repository now and whenever its HEAD, or the ref of --at, moves,
until Ctrl-C. Events of the file system tell when to look; where there are none, as
on some network file systems, refs are looked at every few seconds.

Each update is a line on standard output; with --json, one JSON object on a line.
What goes wrong is a line on standard error, and doesn't end it.`,
		Example: "  code2lora watch . -o .code2lora/adapter",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if gitrepo.IsRemote(args[0]) {
				return fmt.Errorf("%w: watch %s: a clone of another machine's repository moves only when it is fetched: give a local repository, or call \"code2lora update\" at intervals", errUsage, args[0])
			}
			f, err := a.openFollowed(ctx, args[0], o.followFlags)
			if err != nil {
				return err
			}
			return follow.Watch(ctx, f.Repo, follow.WatchOptions{Ref: o.ref, Poll: poll, PollOnly: pollOnly}, func(string) error {
				j, err := a.update(ctx, f, o, c.Flags().Changed("keep"))
				if err != nil {
					return err
				}
				if a.json {
					return json.NewEncoder(a.out).Encode(j)
				}
				_, err = fmt.Fprintf(a.out, "%.12s  applied %s in %.3f s, drift: %s\n", j.Commit, j.appliedText(), j.Seconds, driftText(j.Exact, j.Churn))
				return err
			}, func(err error) { a.note("note: %v", err) })
		},
	}
	o.add(c)
	f := c.Flags()
	f.DurationVar(&poll, "poll", 0, "look at the refs every `TIME`, too (default 1m, or 2s without events)")
	f.BoolVar(&pollOnly, "poll-only", false, "ask for no events of the file system")
	return c
}
