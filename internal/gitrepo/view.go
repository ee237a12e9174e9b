package gitrepo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// objects returns a git directory, made at the first call, that has the objects
// of the repository and nothing else: no configuration, no info/attributes, no
// refs. What git says of objects then depends on their ids alone. In a partial
// clone it doesn't know that it could fetch what isn't there, and answers like in
// any other clone instead of ending: "could not fetch … from promisor remote".
func (r *Repo) objects() (*git, error) {
	r.viewing.Lock()
	defer r.viewing.Unlock()
	if r.view != nil {
		return r.view, nil
	}
	common, err := r.CommonDir()
	if err != nil {
		return nil, err
	}
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if r.sha256 {
		config = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
	}
	dir, err := os.MkdirTemp("", "code2lora-git-*")
	if err != nil {
		return nil, err
	}
	err = os.Mkdir(filepath.Join(dir, "refs"), 0o700)
	for name, text := range map[string]string{"config": config, "HEAD": "ref: refs/heads/none\n"} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("view of the objects of %s: %w", r.path, err)
	}
	r.view = &git{bin: r.git.bin, dir: dir, env: []string{
		"GIT_OBJECT_DIRECTORY=" + filepath.Join(common, "objects"),
		"GIT_SHALLOW_FILE=" + filepath.Join(common, "shallow"), // it may be missing
	}}
	return r.view, nil
}

// stream is [git.stream] of a command that reads objects by their ids.
func (r *Repo) stream(ctx context.Context, stdin io.Reader, read func(io.Reader) error, args ...string) error {
	g, err := r.objects()
	if err != nil {
		return err
	}
	return g.stream(ctx, stdin, read, args...)
}

// pipe is [git.pipe] of a command that reads objects by their ids.
func (r *Repo) pipe(ctx context.Context, args ...string) (*pipe, error) {
	g, err := r.objects()
	if err != nil {
		return nil, err
	}
	return g.pipe(ctx, args...)
}
