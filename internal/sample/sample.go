// Package sample fetches the repository that the demo uses unless it is given
// another: a well-known small Python project of the test split, which nothing
// was trained or tuned on, at a pinned release.
package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/code2lora/code2lora/internal/store"
)

// The pinned release.
const (
	Name    = "jpadilla/pyjwt" // owner/name
	Release = "2.10.1"         // tag, and version of the package
	url     = "https://github.com/jpadilla/pyjwt"
	pkg     = "PyJWT" // name of its source distribution, which contains the tests
)

// Present returns the path of the repository if it has been fetched, else "".
func Present() string { return present(filepath.Join(store.Root(), "sample")) }

// Fetch returns the path of the repository, a bare clone or a source archive,
// fetching it at first use: by git, or else through pip as it is configured.
// notice receives lines for the user.
func Fetch(ctx context.Context, notice func(string)) (string, error) {
	dir := filepath.Join(store.Root(), "sample")
	if path := present(dir); path != "" {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	unlock, err := store.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if path := present(dir); path != "" {
		return path, nil
	}
	notice(fmt.Sprintf("fetching %s %s, once, by git", Name, Release))
	gitErr := clone(ctx, dir)
	if gitErr == nil {
		return present(dir), nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	notice(fmt.Sprintf("%s; trying its source distribution through pip", firstLine(gitErr)))
	if err := download(ctx, dir); ctx.Err() != nil {
		return "", ctx.Err()
	} else if err != nil {
		return "", fmt.Errorf("fetching %s %s: %w", Name, Release, errors.Join(gitErr, err))
	}
	return present(dir), nil
}

// present returns the sample if it is in dir.
func present(dir string) string {
	for _, name := range []string{"clone", "source.tar.gz"} {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// clone makes a shallow bare clone at the release, and puts it in place when
// it is whole.
func clone(ctx context.Context, dir string) error {
	temp, err := os.MkdirTemp(dir, "clone-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	repo := filepath.Join(temp, "repo")
	if err := command(ctx, "git", "clone", "--quiet", "--bare", "--depth", "1", "--branch", Release, url, repo); err != nil {
		return err
	}
	return store.Rename(repo, filepath.Join(dir, "clone"))
}

// download gets the source distribution with the first pip there is.
func download(ctx context.Context, dir string) error {
	temp, err := os.MkdirTemp(dir, "pip-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	args := []string{"download", "--quiet", "--no-deps", "--no-binary=:all:", "--dest", temp, pkg + "==" + Release}
	var errs []error
	for _, pip := range [][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}} {
		if _, err := exec.LookPath(pip[0]); err != nil {
			errs = append(errs, fmt.Errorf("%s is not installed", pip[0]))
			continue
		}
		if err := command(ctx, pip[0], append(pip[1:], args...)...); err != nil {
			errs = append(errs, err)
			continue
		}
		found, err := filepath.Glob(filepath.Join(temp, "*.tar.gz"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("pip gave %d source archives, want 1", len(found))
		}
		return store.Rename(found[0], filepath.Join(dir, "source.tar.gz"))
	}
	return errors.Join(errs...)
}

// command runs a program and puts what it says into the error.
func command(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, lines[len(lines)-1])
	}
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
