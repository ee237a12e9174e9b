package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/store"
)

// Hooks are the git hooks that run after what moves a branch.
var Hooks = []string{"post-commit", "post-merge", "post-rewrite"}

// More hooks.
const (
	CheckoutHook = "post-checkout" // runs after another branch was checked out
	ReceiveHook  = "post-receive"  // runs in a repository that was pushed to
)

var (
	// ErrForeignHook is returned for a hook that was made by somebody else and
	// can't be kept beside ours, or that was changed after it was installed.
	ErrForeignHook = errors.New("hook is not as it was installed")
	// ErrSharedHooks is returned when other repositories use the folder of hooks
	// too.
	ErrSharedHooks = errors.New("the hooks belong to other repositories as well")
	// ErrTrackedHooks is returned when hooks would become part of what is
	// committed.
	ErrTrackedHooks = errors.New("the hooks are in the work tree, and git doesn't ignore them")
)

// before is the ending of a hook that was there before ours, which runs it.
const before = ".before-code2lora"

// InstallHooks writes hooks that run a command, in the background and with its
// output in a log: they neither delay nor fail what git does. A hook that is there
// is moved aside and run first, with what git gives it, and its exit status is
// kept. What is already installed is replaced. It returns the paths. If a hook
// can't be kept so, nothing is changed.
func InstallHooks(ctx context.Context, r *gitrepo.Repo, names, command []string, log string) ([]string, error) {
	dir, tree, err := hooksDir(ctx, r)
	if err != nil {
		return nil, err
	}
	var paths, scripts []string
	for _, name := range names {
		path := filepath.Join(dir, name)
		if tree != "" {
			if err := checkIgnored(ctx, r, tree, path, path+before); err != nil {
				return nil, err
			}
		}
		how, err := checkHook(path)
		if err != nil {
			return nil, err
		}
		paths, scripts = append(paths, path), append(scripts, hookScript(how, command, log))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	for i, path := range paths {
		if err := installHook(path, scripts[i]); err != nil {
			return paths[:i], err
		}
	}
	return paths, nil
}

func checkIgnored(ctx context.Context, r *gitrepo.Repo, tree string, paths ...string) error {
	for _, path := range paths {
		ignored, err := r.Ignored(ctx, tree, path)
		if err != nil {
			return err
		}
		if !ignored {
			return fmt.Errorf("%s: %w: they hold paths of this machine, and would be committed; add the folder to .gitignore or .git/info/exclude, or call \"code2lora update\" from the hook that is kept there",
				path, ErrTrackedHooks)
		}
	}
	return nil
}

// checkHook tells how the hook that is at path, or was and is kept aside, has to
// be run by ours; or why it can't be.
func checkHook(path string) (runHow, error) {
	info, err := os.Lstat(path)
	_, asideErr := os.Lstat(path + before)
	aside := asideErr == nil
	switch {
	case errors.Is(err, fs.ErrNotExist) && !aside:
		return runNothing, nil
	case errors.Is(err, fs.ErrNotExist): // an installation or a removal was cut short
		return howToRun(path + before)
	case err != nil:
		return 0, err
	}
	if info.Mode().IsRegular() {
		data, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		if ours(data) {
			if !unchanged(data) {
				return 0, fmt.Errorf("%s: %w: it was changed since; move what was added to %s, delete %s, and try again",
					path, ErrForeignHook, filepath.Base(path)+before, filepath.Base(path))
			}
			if aside {
				return howToRun(path + before)
			}
			return runNothing, nil
		}
	}
	if aside {
		return 0, fmt.Errorf("%s: %w: it was made by another program, and %s from an earlier one is still there: join the two, and try again",
			path, ErrForeignHook, filepath.Base(path)+before)
	}
	return howToRun(path)
}

// installHook writes a hook, and moves a foreign one aside; if that fails, the
// one that was there is back.
func installHook(path, script string) error {
	made := path + ".code2lora-new"
	if err := store.ReplaceFile(made, func(w io.Writer) error {
		_, err := io.WriteString(w, script)
		return err
	}); err != nil {
		return err
	}
	defer os.Remove(made) // unless it was renamed
	info, err := os.Stat(made)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if err := os.Chmod(made, mode|mode>>2&0o111); err != nil { // who may read it may run it
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	moved := err == nil && !ours(old)
	if moved {
		if err := os.Rename(path, path+before); err != nil {
			return err
		}
	}
	if err = store.Rename(made, path); err != nil && moved {
		err = errors.Join(err, os.Rename(path+before, path))
	}
	return err
}

// RemoveHooks removes what InstallHooks has written, puts back what was there
// before, and returns the paths. Hooks of others are left alone; one of ours that
// has been changed since is an error, and doesn't keep the others from being
// removed.
func RemoveHooks(ctx context.Context, r *gitrepo.Repo) ([]string, error) {
	dir, _, err := hooksDir(ctx, r)
	if err != nil {
		return nil, err
	}
	var paths []string
	var errs []error
	for _, name := range append(slices.Clone(Hooks), CheckoutHook, ReceiveHook) {
		path := filepath.Join(dir, name)
		removed, err := removeHook(path)
		if err != nil {
			errs = append(errs, err)
		} else if removed {
			paths = append(paths, path)
		}
	}
	return paths, errors.Join(errs...)
}

func removeHook(path string) (removed bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // or ours was deleted by hand
		err := os.Rename(path+before, path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, nil
	}
	data, err := os.ReadFile(path)
	if err != nil || !ours(data) {
		return false, err
	}
	if !unchanged(data) {
		return false, fmt.Errorf("%s: %w: it was changed since; take the part of code2lora out by hand, and move %s back if it is there",
			path, ErrForeignHook, filepath.Base(path)+before)
	}
	err = os.Rename(path+before, path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(path)
	}
	return err == nil, err
}

// hooksDir returns the folder of hooks, unless other repositories may use it. If
// it is in a work tree, not in the git directory, tree is that.
func hooksDir(ctx context.Context, r *gitrepo.Repo) (dir, tree string, err error) {
	if dir, err = r.HooksDir(ctx); err != nil {
		return "", "", err
	}
	common, err := r.CommonDir()
	if err != nil {
		return "", "", err
	}
	if within(common, dir) {
		return dir, "", nil
	}
	trees := []string{r.Path()}
	if filepath.Base(common) == ".git" { // the main work tree, if r is a linked one
		trees = append(trees, filepath.Dir(common))
	}
	for _, tree := range trees {
		if within(tree, dir) {
			return dir, tree, nil
		}
	}
	return "", "", fmt.Errorf("%s: %w (core.hooksPath is set for all): call \"code2lora update\" from there yourself, or set core.hooksPath for this repository, as with git config --local core.hooksPath %s",
		dir, ErrSharedHooks, filepath.Join(common, "hooks"))
}

// within tells whether a path is in a folder, or is the folder.
func within(dir, path string) bool {
	rel, err := filepath.Rel(real(dir), real(path))
	return err == nil && filepath.IsLocal(rel)
}

// real resolves links as far as the path exists.
func real(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(real(parent), filepath.Base(path))
	}
	return path
}
