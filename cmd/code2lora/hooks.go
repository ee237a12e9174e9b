package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/store"
)

func (a *app) hooksCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "hooks",
		Short: "Let git update a repository after each commit",
	}
	c.AddCommand(a.hooksInstallCmd(), a.hooksRemoveCmd())
	return c
}

func (a *app) hooksInstallCmd() *cobra.Command {
	var o struct {
		base, checkpoint, store, out string
		checkout                     bool
	}
	c := &cobra.Command{
		Use:   "install REPO",
		Short: "Install hooks that update after commit, merge and rewrite",
		Long: `Install git hooks that call "code2lora update" in the background after a commit, a
merge, and a rewrite such as a rebase; in a bare repository, after a push to it.
They neither delay nor fail what git does, use no network, and write what they have
to say to a log. A hook that is there already is kept, and runs first.`,
		Example: "  code2lora hooks install . -o .code2lora/adapter",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := gitrepo.Open(c.Context(), args[0], gitrepo.Options{})
			if err != nil {
				return err
			}
			defer r.Close()
			_, basePath, err := a.resolveBase(c.Context(), o.base) // so that a hook needs no network
			if err != nil {
				return err
			}
			log, err := hookFile(r.Path(), ".log")
			if err != nil {
				return err
			}
			command, err := hookCommand(o.store, o.base, basePath, o.checkpoint, o.out)
			if err != nil {
				return err
			}
			names := follow.Hooks
			if r.GitDir() == r.Path() {
				names = []string{follow.ReceiveHook}
			} else if o.checkout {
				names = append(names[:len(names):len(names)], follow.CheckoutHook)
			}
			paths, err := follow.InstallHooks(c.Context(), r, names, command, log)
			if err != nil {
				return unusable(err)
			}
			return a.print(map[string]any{"hooks": paths, "log": log}, func(w io.Writer) {
				fmt.Fprintf(w, "installed   %s\nlog         %s\n", strings.Join(paths, "\n            "), log)
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "output", "o", "", "let them write the adapter to `DIR`")
	f.StringVar(&o.checkpoint, "checkpoint", "", "hypernetwork checkpoint `FILE` (default: the one for the base)")
	f.StringVar(&o.store, "store", "", "keep states in `WHERE` (default: states in the program's folder)")
	f.BoolVar(&o.checkout, "checkout", false, "also update after another branch was checked out")
	baseFlag(c, &o.base)
	return c
}

// hookCommand returns the command of a hook. Git runs it in the work tree, or in
// a bare repository's folder; so paths are absolute, but that of the repository
// isn't, as work trees share hooks.
func hookCommand(where, base, basePath, checkpoint, out string) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if base != "" && base == basePath { // a file
		if base, err = filepath.Abs(base); err != nil {
			return nil, err
		}
	}
	command := []string{"env", catalog.OfflineVar + "=1"}
	if os.Getenv(store.HomeVar) != "" {
		command = append(command, store.HomeVar+"="+store.Root())
	}
	command = append(command, program, "update", ".", "--background", "--quiet")
	if where != "" && !strings.Contains(where, "://") {
		if where, err = filepath.Abs(where); err != nil {
			return nil, err
		}
	}
	for _, p := range []*string{&checkpoint, &out} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range [][2]string{{"--store", where}, {"--base", base}, {"--checkpoint", checkpoint}, {"--output", out}} {
		if f[1] != "" {
			command = append(command, f[0], f[1])
		}
	}
	return command, nil
}

func (a *app) hooksRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "remove REPO",
		Short: "Remove the hooks, and restore what was there",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := gitrepo.Open(c.Context(), args[0], gitrepo.Options{})
			if err != nil {
				return err
			}
			defer r.Close()
			paths, err := follow.RemoveHooks(c.Context(), r)
			if err != nil {
				return unusable(err)
			}
			return a.print(map[string]any{"hooks": append([]string{}, paths...)}, func(w io.Writer) {
				if len(paths) == 0 {
					fmt.Fprintln(w, "there are none of ours")
					return
				}
				fmt.Fprintf(w, "removed     %s\n", strings.Join(paths, "\n            "))
			})
		},
	}
}
