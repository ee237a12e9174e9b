package gitrepo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// fetchProtocols are the transports that may be used. Notably missing is ext,
// which runs a command named in the URL.
var fetchProtocols = []string{"https", "http", "ssh", "git"}

// remote is a parsed repository URL.
type remote struct {
	raw    string // as git is given it, credentials included
	clean  string // without credentials: what may be shown and stored
	scheme string
	host   string
	path   string
}

// scpLike matches user@host:path, the short form of ssh. A user is demanded,
// since host:path could be a local file.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):(.+)$`)

// parseRemote parses spec if it is a URL, and not a path.
func parseRemote(spec string) (*remote, bool) {
	if m := scpLike.FindStringSubmatch(spec); m != nil {
		return &remote{raw: spec, clean: spec, scheme: "ssh", host: m[2], path: m[3]}, true
	}
	if !strings.Contains(spec, "://") {
		return nil, false
	}
	u, err := url.Parse(spec)
	if err != nil {
		return nil, false
	}
	r := &remote{raw: spec, scheme: strings.ToLower(u.Scheme), host: u.Hostname(), path: u.Path}
	if r.scheme != "ssh" { // for ssh the user is part of the address
		u.User = nil
	} else if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	r.clean = u.String()
	return r, true
}

// local tells whether the URL names a path of this machine.
func (r *remote) local() bool {
	return r.scheme == "file" && (r.host == "" || r.host == "localhost")
}

// name returns the path without slashes around it and without ".git".
func (r *remote) name() string {
	p := strings.Trim(strings.TrimPrefix(r.path, "/~"), "/")
	return cmp.Or(strings.TrimSuffix(p, ".git"), r.host)
}

// check refuses URLs that git must not be given.
func (r *remote) check() error {
	for _, p := range fetchProtocols {
		if r.scheme != p {
			continue
		}
		if r.host == "" || strings.HasPrefix(r.host, "-") || strings.HasPrefix(strings.TrimPrefix(r.path, "/"), "-") {
			return fmt.Errorf("repository %q: want %s://HOST/PATH", r.clean, r.scheme)
		}
		return nil
	}
	return fmt.Errorf("repository %q: scheme %q is not supported; want one of %s, file", r.clean, r.scheme, strings.Join(fetchProtocols, ", "))
}

// dirName returns the name of the clone in the cache: readable, and unique by
// the digest of the URL.
func (r *remote) dirName() string {
	sum := sha256.Sum256([]byte(strings.TrimSuffix(strings.TrimRight(r.clean, "/"), ".git")))
	safe := regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(r.name(), "+")
	if len(safe) > 80 {
		safe = safe[len(safe)-80:]
	}
	return strings.TrimLeft(safe, ".-") + "-" + hex.EncodeToString(sum[:6]) + ".git"
}

// openRemote opens the clone of a URL, after making or updating it when the
// network is allowed.
//
// A clone appears under its name only when it is complete: it is fetched into
// NAME.partial, which the next run replaces, and renamed.
func openRemote(ctx context.Context, u *remote, opt Options) (*Repo, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	name := cmp.Or(opt.Name, u.name())
	cache, err := cacheDir(opt.CacheDir)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, u.dirName())
	if !opt.AllowNetwork {
		if isGitDir(dir) {
			return openGit(ctx, dir, dir, name)
		}
		return nil, fmt.Errorf("repository %s: not cloned yet, and %w: allow it, or give the path of a clone", u.clean, ErrNetwork)
	}
	bin, err := findGit()
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", u.clean, err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("repository cache: %w", err)
	}
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return nil, fmt.Errorf("locking the clone of %s: %w", u.clean, err)
	}
	defer lock.Unlock()
	if err := clone(ctx, bin, u, dir, opt); err != nil {
		return nil, fmt.Errorf("cloning %s: %w", u.clean, u.redact(err))
	}
	return openGit(ctx, dir, dir, name)
}

// cacheDir returns the absolute directory for clones.
func cacheDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("repository cache: no place for it is known, name one: %w", err)
	}
	return filepath.Join(base, "code2lora", "repositories"), nil
}

// clone makes or updates the bare clone of u in dir.
func clone(ctx context.Context, bin string, u *remote, dir string, opt Options) error {
	if isGitDir(dir) {
		return fetch(ctx, &git{bin: bin, dir: dir}, u, opt)
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.Mkdir(partial, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(partial) // already renamed if all went well
	g := &git{bin: bin, dir: partial}
	if _, err := g.output(ctx, "init", "--quiet", "--bare", "--template="); err != nil {
		return err
	}
	if _, err := g.output(ctx, "config", "remote.origin.url", u.clean); err != nil {
		return err
	}
	if err := fetch(ctx, g, u, opt); err != nil {
		return err
	}
	return os.Rename(partial, dir)
}

// fetch brings branches and tags up to date, and HEAD to where the remote has
// it. The URL is passed each time rather than stored, for it may have a
// password in it.
func fetch(ctx context.Context, g *git, u *remote, opt Options) error {
	_, err := g.run(ctx, true, opt.Progress, "fetch", "--prune", "--no-tags", "--force", "--no-write-fetch-head",
		progressFlag(opt), "--", u.raw, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
	if err != nil {
		return err
	}
	out, err := g.run(ctx, true, nil, "ls-remote", "--symref", "--", u.raw, "HEAD")
	if err != nil {
		return err
	}
	var branch, id string
	for line := range strings.Lines(out) {
		value, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name != "HEAD" {
			continue
		}
		if b, ok := strings.CutPrefix(value, "ref: "); ok {
			branch = b
		} else {
			id = value
		}
	}
	switch {
	case strings.HasPrefix(branch, "refs/heads/"):
		_, err = g.output(ctx, "symbolic-ref", "HEAD", branch)
	case id != "": // a detached HEAD, or a server that doesn't tell the branch
		_, err = g.output(ctx, "update-ref", "--no-deref", "HEAD", id)
	}
	return err
}

func progressFlag(opt Options) string {
	if opt.Progress != nil {
		return "--progress"
	}
	return "--quiet"
}

// redact replaces the URL with credentials in an error of git by the one
// without. The cause is not wrapped then, since it would tell them.
func (r *remote) redact(err error) error {
	if r.raw == r.clean || !strings.Contains(err.Error(), r.raw) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), r.raw, r.clean))
}
