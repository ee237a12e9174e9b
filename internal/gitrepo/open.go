package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Options says how a repository may be opened.
type Options struct {
	// AllowNetwork permits cloning a URL, and updating an earlier clone of it.
	// Without it an earlier clone is used as it is.
	AllowNetwork bool
	// CacheDir holds the clones; "" is code2lora/repositories in the user's
	// cache directory.
	CacheDir string
	// Name replaces the name found in the remote URL or the path.
	Name string
	// Progress receives what git says while it clones; nil discards it.
	Progress io.Writer
}

// Repo is an open repository or source tree. Its methods may be called
// concurrently.
type Repo struct {
	name string
	path string
	git  *git // nil for a plain source tree

	sha256 bool // ids are of SHA-256, not SHA-1

	archived []Skip // entries of an archive that were not extracted
	temp     string // removed by Close
	closing  sync.Once

	viewing sync.Mutex
	view    *git // see objects; nil until it is needed
}

// Open opens a work tree, bare repository, git directory, URL, source tree
// without git, or source archive.
//
// A directory inside a work tree that has no .git of its own is a plain source
// tree. A file:// URL is read in place and needs no network.
func Open(ctx context.Context, spec string, opt Options) (*Repo, error) {
	if spec == "" {
		return nil, errors.New("no repository given: want a path or a URL")
	}
	if strings.ContainsRune(spec, 0) {
		return nil, fmt.Errorf("repository %q: NUL in its name", spec)
	}
	if u, ok := parseRemote(spec); ok {
		if !u.local() {
			return openRemote(ctx, u, opt)
		}
		spec = u.path
	}
	path, err := filepath.Abs(spec)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", spec, err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("repository %q: no such file or directory; a remote one is named by its URL, as in https://github.com/owner/name: %w", spec, err)
	case err != nil:
		return nil, fmt.Errorf("repository %q: %w", spec, err)
	case !info.IsDir():
		return openArchive(ctx, path, opt)
	}
	dir, err := gitDir(path)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return &Repo{name: cmp.Or(opt.Name, filepath.Base(path)), path: path}, nil
	}
	return openGit(ctx, path, dir, opt.Name)
}

// openGit opens the git directory dir of what the user calls path.
func openGit(ctx context.Context, path, dir, name string) (*Repo, error) {
	bin, err := findGit()
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", path, err)
	}
	g := &git{bin: bin, dir: dir}
	format, err := g.output(ctx, "rev-parse", "--show-object-format") // an older git repeats the option
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", path, err)
	}
	if name == "" {
		name, err = nameOf(ctx, g, path)
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", path, err)
		}
	}
	return &Repo{name: name, path: path, git: g, sha256: format == "sha256"}, nil
}

// Name returns owner/name from the URL of the remote (the whole path on hosts
// with nested groups), or the name of the directory.
func (r *Repo) Name() string { return r.name }

// Path returns the absolute path of the work tree, git directory, clone,
// source tree or archive.
func (r *Repo) Path() string { return r.path }

// IsGit tells whether there are commits to ask for; a plain source tree has
// only [Repo.Snapshot] with an empty ref.
func (r *Repo) IsGit() bool { return r.git != nil }

// Close removes what Open extracted, and other temporary files. It may be called
// more than once.
func (r *Repo) Close() error {
	r.viewing.Lock()
	defer r.viewing.Unlock()
	var err error
	if r.view != nil {
		err = os.RemoveAll(r.view.dir)
		r.view = nil
	}
	r.closing.Do(func() {
		if r.temp != "" {
			err = errors.Join(err, os.RemoveAll(r.temp))
		}
	})
	return err
}

// gitDir returns the absolute git directory of path, or "" if path is a plain
// directory. Finding it ourselves spares git's discovery, which would climb
// into parent directories and refuse those of other owners.
func gitDir(path string) (string, error) {
	if isGitDir(path) {
		return path, nil
	}
	dot := filepath.Join(path, ".git")
	info, err := os.Stat(dot)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("repository %s: %w", path, err)
	}
	dir := dot
	if !info.IsDir() { // a submodule or linked work tree: "gitdir: PATH"
		dir, err = readGitFile(dot)
		if err != nil {
			return "", err
		}
	}
	if !isGitDir(dir) {
		return "", fmt.Errorf("repository %s: %s is not a git directory (it lacks HEAD, objects or refs); without a .git it would be read as a plain source tree", path, dir)
	}
	return dir, nil
}

// readGitFile returns the absolute directory that a .git file points to.
func readGitFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return "", err
	}
	dir, ok := strings.CutPrefix(strings.TrimRight(string(b), "\r\n"), "gitdir: ")
	if !ok || dir == "" {
		return "", fmt.Errorf("%s: neither a directory nor a file with %q and a path", file, "gitdir: ")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(file), dir)
	}
	return filepath.Clean(dir), nil
}

// isGitDir tells whether dir has the parts of a git directory, or those of a
// linked work tree's share of one.
func isGitDir(dir string) bool {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return false
	}
	return exists("commondir") || exists("objects") && exists("refs")
}

// nameOf returns owner/name from the remote called origin, else from the only
// remote, else the name of the directory.
func nameOf(ctx context.Context, g *git, path string) (string, error) {
	out, err := g.output(ctx, "config", "-z", "--get-regexp", `^remote\..*\.url$`)
	var exit *gitError
	if errors.As(err, &exit) && exit.stderr == "" {
		out, err = "", nil // no remote
	}
	if err != nil {
		return "", err
	}
	urls := map[string]string{} // first URL of each remote
	for entry := range strings.SplitSeq(out, "\x00") {
		key, url, ok := strings.Cut(entry, "\n")
		if _, seen := urls[key]; ok && !seen {
			urls[key] = url
		}
	}
	url := urls["remote.origin.url"]
	if url == "" && len(urls) == 1 {
		for _, url = range urls {
		}
	}
	if u, ok := parseRemote(url); ok && !u.local() {
		return u.name(), nil
	}
	base := filepath.Base(path)
	if base == ".git" {
		base = filepath.Base(filepath.Dir(path))
	}
	return strings.TrimSuffix(base, ".git"), nil
}
