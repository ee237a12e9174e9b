package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
)

// before is the ending of a hook that was there before ours, which runs it.
const before = ".before-code2lora"

// hookMark is in every hook of ours.
const hookMark = "# Installed by \"code2lora hooks install\"; \"code2lora hooks remove\" restores what was here.\n"

// InstallHooks writes hooks that run a command, in the background and with its
// output in a log: they neither delay nor fail what git does. A hook that is there
// is moved aside and run first, with what git gives it, and its exit status is
// kept. What is already installed is replaced. It returns the paths.
func InstallHooks(ctx context.Context, r *gitrepo.Repo, names, command []string, log string) ([]string, error) {
	dir, err := hooksDir(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o777); err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := installHook(path, hookScript(command, log)); err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// installHook writes a hook, and moves a foreign one aside.
func installHook(path, script string) error {
	old, err := os.ReadFile(path)
	switch {
	case err == nil && !ours(old):
		if _, err := os.Lstat(path + before); err == nil {
			return fmt.Errorf("%s: %w: it was made by another program, and %s from an earlier one is still there: join the two, and try again",
				path, ErrForeignHook, filepath.Base(path)+before)
		}
		if err := os.Rename(path, path+before); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := store.ReplaceFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, script)
		return err
	}); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	return os.Chmod(path, mode|mode>>2&0o111) // who may read it may run it
}

// RemoveHooks removes what InstallHooks has written, puts back what was there
// before, and returns the paths. Hooks of others are left alone; one of ours that
// has been changed since is an error.
func RemoveHooks(ctx context.Context, r *gitrepo.Repo) ([]string, error) {
	dir, err := hooksDir(ctx, r)
	if err != nil {
		return nil, err
	}
	var paths []string
	var errs []error
	for _, name := range append(slices.Clone(Hooks), CheckoutHook, ReceiveHook) {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !ours(data) {
			continue
		}
		if err == nil && !bytes.HasSuffix(data, []byte(hookEnd)) {
			err = fmt.Errorf("%s: %w: something was added; take the part of code2lora out by hand, and move %s back if it is there",
				path, ErrForeignHook, name+before)
		}
		if err == nil {
			err = restoreHook(path)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		paths = append(paths, path)
	}
	return paths, errors.Join(errs...)
}

func restoreHook(path string) error {
	err := os.Rename(path+before, path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Remove(path)
	}
	return err
}

// ours tells whether a hook begins like one of ours.
func ours(hook []byte) bool { return bytes.HasPrefix(hook, []byte("#!/bin/sh\n"+hookMark)) }

// hooksDir returns the folder of hooks, unless other repositories may use it.
func hooksDir(ctx context.Context, r *gitrepo.Repo) (string, error) {
	dir, err := r.HooksDir(ctx)
	if err != nil {
		return "", err
	}
	common, err := r.CommonDir()
	if err != nil {
		return "", err
	}
	roots := []string{common, r.Path()}
	if filepath.Base(common) == ".git" { // the main work tree, if r is a linked one
		roots = append(roots, filepath.Dir(common))
	}
	for _, root := range roots {
		if rel, err := filepath.Rel(real(root), real(dir)); err == nil && filepath.IsLocal(rel) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s: %w (core.hooksPath is set for all): call \"code2lora update\" from there yourself, or set core.hooksPath for this repository, as with git config --local core.hooksPath %s",
		dir, ErrSharedHooks, filepath.Join(common, "hooks"))
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

// maxLog is the size of a log, in bytes, at which it is begun anew.
const maxLog = 1 << 20

const hookEnd = "exit $status\n# end of code2lora\n"

// hookScript returns a hook for sh. All but the hook that was there before
// happens in the background, away from the terminal.
func hookScript(command []string, log string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = quote(word)
	}
	return fmt.Sprintf(`#!/bin/sh
%sstatus=0
if [ -x "$0%s" ]; then
	"$0%s" "$@"
	status=$?
fi
(
	log=%s
	if [ -f "$log" ] && [ "$(wc -c <"$log")" -gt %d ]; then : >"$log"; fi
	exec </dev/null >>"$log" 2>&1
	trap '' HUP INT
	nice -n 10 %s
) </dev/null >/dev/null 2>&1 &
%s`, hookMark, before, before, quote(log), maxLog, strings.Join(quoted, " "), hookEnd)
}

// quote makes a word of sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
