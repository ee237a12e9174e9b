package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/catalog"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/kernel"
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
	var o updateFlags
	var checkout bool
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
			r, bare, err := openHooked(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer r.Close()
			if err := (follow.Job{Every: o.every, Anchor: follow.Policy{Churn: o.anchorAt}}).Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			_, basePath, err := a.resolveBase(c.Context(), o.base) // so that a hook needs no network
			if err != nil {
				return err
			}
			log, err := hookFile(r.Path(), ".log")
			if err != nil {
				return err
			}
			command, err := hookCommand(c, r.Path(), o, basePath)
			if err != nil {
				return err
			}
			names := follow.Hooks
			if bare {
				names = []string{follow.ReceiveHook}
			} else if checkout {
				names = append(names[:len(names):len(names)], follow.CheckoutHook)
			}
			paths, err := follow.InstallHooks(c.Context(), r, names, command, log)
			if err != nil {
				if len(paths) > 0 {
					a.note("note: installed so far: %s", strings.Join(paths, ", "))
				}
				return unusable(err)
			}
			return a.print(map[string]any{"hooks": paths, "log": log}, func(w io.Writer) {
				fmt.Fprintf(w, "installed   %s\nlog         %s\n", strings.Join(paths, "\n            "), log)
			})
		},
	}
	o.add(c)
	c.Flags().BoolVar(&checkout, "checkout", false, "also update after another branch was checked out")
	return c
}

// openHooked opens a local repository; of a work tree's .git, the work tree.
func openHooked(ctx context.Context, spec string) (r *gitrepo.Repo, bare bool, err error) {
	if r, err = gitrepo.Open(ctx, spec, gitrepo.Options{}); err != nil {
		return nil, false, err
	}
	if !r.IsGit() || r.GitDir() != r.Path() {
		return r, false, nil
	}
	if bare, err = r.Bare(ctx); err == nil && !bare {
		path := r.Path()
		r.Close()
		if filepath.Base(path) != ".git" {
			return nil, false, unusable(fmt.Errorf("%s is the git directory of a work tree: give the work tree, where git runs the hooks", path))
		}
		r, err = gitrepo.Open(ctx, filepath.Dir(path), gitrepo.Options{})
	}
	return r, bare, err
}

// hookCommand returns the command of a hook. Git runs it at the top of the work
// tree, or in a bare repository's folder, with whatever environment the user has
// then; so store and precision are those of now, and paths are absolute. But
// those of the repository, and of an adapter within it, aren't, as linked work
// trees share hooks.
func hookCommand(c *cobra.Command, repo string, o updateFlags, basePath string) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(store.Root())
	if err != nil {
		return nil, err
	}
	command := []string{"env", catalog.OfflineVar + "=1", store.HomeVar + "=" + root, program, "update", ".", "--background", "--quiet",
		"--precision", kernel.CurrentPrecision().String()}
	if o.checkpoint != "" {
		if _, err := os.Stat(o.checkpoint); err != nil {
			return nil, unusable(fmt.Errorf("checkpoint: %w", err))
		}
	}
	for _, name := range []string{"at", "from", "every", "anchor-at", "keep", "store", "base", "checkpoint", "output"} {
		f := c.Flags().Lookup(name)
		if !f.Changed || f.Value.String() == "" {
			continue
		}
		value := f.Value.String()
		if name == "checkpoint" || name == "output" || name == "base" && value == basePath || name == "store" && !o.shared() {
			if value, err = filepath.Abs(value); err != nil {
				return nil, err
			}
		}
		if name == "output" {
			value = inRepo(repo, value)
		}
		command = append(command, "--"+name, value)
	}
	return command, nil
}

// inRepo returns a path relative to a repository if it is in there.
func inRepo(repo, path string) string {
	for _, root := range []string{repo, realPath(repo)} {
		for _, p := range []string{path, filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))} {
			if rel, err := filepath.Rel(root, p); err == nil && filepath.IsLocal(rel) {
				return "." + string(filepath.Separator) + rel
			}
		}
	}
	return path
}

// realPath resolves links, if the path exists.
func realPath(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return path
}

func (a *app) hooksRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "remove REPO",
		Short: "Remove the hooks, and restore what was there",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, _, err := openHooked(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer r.Close()
			paths, err := follow.RemoveHooks(c.Context(), r)
			if err != nil {
				err = unusable(err)
				if len(paths) == 0 {
					return err
				}
			}
			return errors.Join(err, a.print(map[string]any{"hooks": append([]string{}, paths...)}, func(w io.Writer) {
				if len(paths) == 0 {
					fmt.Fprintln(w, "there are none of ours")
					return
				}
				fmt.Fprintf(w, "removed     %s\n", strings.Join(paths, "\n            "))
			}))
		},
	}
}
