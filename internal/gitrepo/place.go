package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GitDir returns the absolute git directory, in which HEAD is: of a linked work
// tree its own share. It is "" for a plain source tree.
func (r *Repo) GitDir() string {
	if r.git == nil {
		return ""
	}
	return r.git.dir
}

// CommonDir returns the absolute git directory that linked work trees share, in
// which the refs and objects are.
func (r *Repo) CommonDir() (string, error) {
	if r.git == nil {
		return "", fmt.Errorf("%s: %w", r.path, ErrNotGit)
	}
	b, err := os.ReadFile(filepath.Join(r.git.dir, "commondir"))
	if os.IsNotExist(err) {
		return r.git.dir, nil
	}
	if err != nil {
		return "", err
	}
	dir := strings.TrimRight(string(b), "\r\n")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(r.git.dir, dir)
	}
	return filepath.Clean(dir), nil
}

// HooksDir returns the absolute folder in which git looks for the hooks of the
// repository. Unlike everything else here it follows the user's configuration,
// since core.hooksPath may be set there.
func (r *Repo) HooksDir(ctx context.Context) (string, error) {
	if r.git == nil {
		return "", fmt.Errorf("%s: %w, so it has no hooks", r.path, ErrNotGit)
	}
	args := []string{"-c", "safe.directory=*", "rev-parse", "--git-path", "hooks"}
	if r.path == r.git.dir { // bare, or a git directory was given
		args = append([]string{"--git-dir=" + r.git.dir}, args...)
	}
	cmd := exec.CommandContext(ctx, r.git.bin, args...)
	cmd.Dir, cmd.Env = r.path, environment(true)
	stdout, stderr := tail{max: outputLimit}, tail{max: 4096}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := wrap(ctx, "rev-parse", &stderr, cmd.Run()); err != nil {
		return "", fmt.Errorf("hooks of %s: %w", r.name, err)
	}
	dir := strings.TrimRight(string(stdout.b), "\r\n")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(r.path, dir)
	}
	return filepath.Clean(dir), nil
}

// Edited tells what of the repository pretends to be another history: "grafts"
// and "replace refs". Both are ignored here, as git means commits to be what
// their ids say.
func (r *Repo) Edited(ctx context.Context) ([]string, error) {
	common, err := r.CommonDir()
	if err != nil {
		return nil, err
	}
	var found []string
	if info, err := os.Stat(filepath.Join(common, "info", "grafts")); err == nil && info.Size() > 0 {
		found = append(found, "grafts")
	}
	refs, err := r.git.output(ctx, "for-each-ref", "--count=1", "refs/replace/")
	if err != nil {
		return nil, fmt.Errorf("refs of %s: %w", r.name, err)
	}
	if refs != "" {
		found = append(found, "replace refs")
	}
	return found, nil
}

// Ignored tells whether git leaves a path alone that is in a work tree: that it
// is ignored and not tracked, by the user's configuration too.
func (r *Repo) Ignored(ctx context.Context, tree, path string) (bool, error) {
	if r.git == nil {
		return false, fmt.Errorf("%s: %w, so nothing is ignored", r.path, ErrNotGit)
	}
	cmd := exec.CommandContext(ctx, r.git.bin, "-c", "safe.directory=*", "check-ignore", "--quiet", "--", path)
	cmd.Dir, cmd.Env = tree, environment(true)
	stderr := tail{max: 4096}
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	if err := wrap(ctx, "check-ignore", &stderr, err); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// Bare tells whether a git directory says that it has no work tree.
func (r *Repo) Bare(ctx context.Context) (bool, error) {
	if r.git == nil {
		return false, fmt.Errorf("%s: %w", r.path, ErrNotGit)
	}
	out, err := r.git.output(ctx, "rev-parse", "--is-bare-repository")
	if err != nil {
		return false, fmt.Errorf("%s: %w", r.path, err)
	}
	return out == "true", nil
}
