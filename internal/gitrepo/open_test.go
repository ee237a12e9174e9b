package gitrepo

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var twoFiles = []entry{
	{path: "pkg/a.py", data: "def a():\n    return 1\n"},
	{path: "pkg/b/c.py", data: "C = 'é'\n"},
	{path: "README.md", data: "# sample\n"},
}

// TestOpenKinds reads the same files from every kind of source.
func TestOpenKinds(t *testing.T) {
	bare := newBare(t, change{files: twoFiles})
	tree := filepath.Join(t.TempDir(), "tree")
	runGit(t, "", "", "clone", "--quiet", bare, tree)
	linked := filepath.Join(t.TempDir(), "linked")
	runGit(t, tree, "", "worktree", "add", "--quiet", "--detach", linked)
	plain := filepath.Join(t.TempDir(), "plain")
	for _, f := range twoFiles {
		writeFile(t, filepath.Join(plain, f.path), f.data)
	}
	tarball := filepath.Join(t.TempDir(), "sample-1.0.tar.gz")
	runGit(t, bare, "", "archive", "--format=tar.gz", "--prefix=sample-1.0/", "-o", tarball, "main")
	zipped := filepath.Join(t.TempDir(), "sample.zip")
	runGit(t, bare, "", "archive", "--format=zip", "-o", zipped, "main")
	// Changes that are not committed don't count.
	writeFile(t, filepath.Join(tree, "pkg/a.py"), "changed\n")
	writeFile(t, filepath.Join(tree, "new.py"), "new\n")

	tests := []struct {
		kind, spec, name string
		git              bool
	}{
		{"bare", bare, "sample", true},
		{"work tree", tree, "tree", true},
		{"git directory", filepath.Join(tree, ".git"), "tree", true},
		{"linked work tree", linked, "linked", true},
		{"file URL", "file://" + bare, "sample", true},
		{"plain", plain, "plain", false},
		{"tar.gz", tarball, "sample-1.0", false},
		{"zip", zipped, "sample", false},
	}
	want := snapshot(t, openAt(t, bare, Options{}), "", Filter{})
	if got := paths(want.Files); got != "pkg/a.py pkg/b/c.py" {
		t.Fatalf("files: got %s", got)
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			r := openAt(t, tt.spec, Options{})
			if r.IsGit() != tt.git || r.Name() != tt.name || !filepath.IsAbs(r.Path()) {
				t.Errorf("got git %v, name %q, path %q; want git %v, name %q", r.IsGit(), r.Name(), r.Path(), tt.git, tt.name)
			}
			s := snapshot(t, r, "", Filter{})
			if s.Digest() != want.Digest() || len(s.Files) != len(want.Files) {
				t.Errorf("files: got %v, want %v", s.Files, want.Files)
			}
			if (s.Commit != "") != tt.git || (s.Tree != "") != tt.git {
				t.Errorf("commit %q, tree %q", s.Commit, s.Tree)
			}
			if got := texts(t, s)["pkg/b/c.py"]; got != twoFiles[1].data {
				t.Errorf("text: got %q, want %q", got, twoFiles[1].data)
			}
			if got := s.Counts()[ReasonLanguage]; got != 1 {
				t.Errorf("skipped for their language: got %d, want 1", got)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file.py"), "x\n")
	writeFile(t, filepath.Join(dir, "broken/.git/config"), "")
	writeFile(t, filepath.Join(dir, "odd/.git"), "nonsense")
	writeFile(t, filepath.Join(dir, "lost/.git"), "gitdir: ../nowhere\n")
	writeFile(t, filepath.Join(dir, "bad.tar.gz"), "not gzip")
	tests := []struct{ spec, want string }{
		{"", "no repository given"},
		{"a\x00b", "NUL"},
		{filepath.Join(dir, "none"), "no such file"},
		{filepath.Join(dir, "file.py"), "source archives"},
		{filepath.Join(dir, "broken"), "not a git directory"},
		{filepath.Join(dir, "odd"), "gitdir: "},
		{filepath.Join(dir, "lost"), "nowhere"},
		{filepath.Join(dir, "bad.tar.gz"), "bad source archive"},
		{"ext::sh -c true", "no such file"},
		{"ext://sh -c true", `"ext`},
		{"svn://example.com/x", "not supported"},
		{"ssh://-oProxyCommand=true/x", "want ssh://HOST/PATH"},
		{"https:///x", "want https://HOST/PATH"},
		{"https://example.com/a/b", "not allowed"},
		{"git@example.com:a/b.git", "not allowed"},
	}
	for _, tt := range tests {
		r, err := Open(t.Context(), tt.spec, Options{CacheDir: t.TempDir()})
		if err == nil {
			r.Close()
			t.Errorf("Open(%q): got no error, want %q", tt.spec, tt.want)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open(%q): got %q, want %q in it", tt.spec, err, tt.want)
		}
	}
	_, err := Open(t.Context(), "https://example.com/a/b", Options{CacheDir: t.TempDir()})
	if !errors.Is(err, ErrNetwork) {
		t.Errorf("got %v, want ErrNetwork", err)
	}
}

func TestParseRemote(t *testing.T) {
	tests := []struct{ spec, name, clean string }{
		{"https://github.com/pallets/flask", "pallets/flask", "https://github.com/pallets/flask"},
		{"https://github.com/pallets/flask.git/", "pallets/flask", "https://github.com/pallets/flask.git/"},
		{"https://user:secret@example.com/a/b.git", "a/b", "https://example.com/a/b.git"},
		{"git@github.com:pallets/flask.git", "pallets/flask", "git@github.com:pallets/flask.git"},
		{"ssh://git@example.com:22/group/sub/name.git", "group/sub/name", "ssh://git@example.com:22/group/sub/name.git"},
		{"ssh://git:secret@example.com/~me/name.git", "me/name", "ssh://git@example.com/~me/name.git"},
		{"git://example.com/", "example.com", "git://example.com/"},
	}
	for _, tt := range tests {
		u, ok := parseRemote(tt.spec)
		if !ok {
			t.Errorf("parseRemote(%q): not a URL", tt.spec)
			continue
		}
		if u.name() != tt.name || u.clean != tt.clean {
			t.Errorf("parseRemote(%q): got %q and %q, want %q and %q", tt.spec, u.name(), u.clean, tt.name, tt.clean)
		}
	}
	for _, path := range []string{"", "a/b", "./a:b", "host:path", `C:\repo`, "/x@y/z", "-o@h"} {
		if u, ok := parseRemote(path); ok {
			t.Errorf("parseRemote(%q): got URL %q, want a path", path, u.clean)
		}
	}
	a, _ := parseRemote("https://u:p@example.com/a/b.git")
	b, _ := parseRemote("https://example.com/a/b/")
	if a.dirName() != b.dirName() {
		t.Errorf("one repository, two clones: %s and %s", a.dirName(), b.dirName())
	}
}

func TestNameFromRemote(t *testing.T) {
	bare := newBare(t, change{files: twoFiles})
	runGit(t, bare, "", "remote", "add", "fork", "https://example.com/me/flask.git")
	if got := openAt(t, bare, Options{}).Name(); got != "me/flask" {
		t.Errorf("only remote: got %q, want me/flask", got)
	}
	runGit(t, bare, "", "remote", "add", "origin", "git@github.com:pallets/flask.git")
	if got := openAt(t, bare, Options{}).Name(); got != "pallets/flask" {
		t.Errorf("origin: got %q, want pallets/flask", got)
	}
	if got := openAt(t, bare, Options{Name: "x/y"}).Name(); got != "x/y" {
		t.Errorf("given: got %q, want x/y", got)
	}
}

// TestClone clones from a server on this machine, uses the clone offline, and
// updates it.
func TestClone(t *testing.T) {
	bare := newBare(t, change{files: twoFiles})
	if _, err := os.Stat(filepath.Join(runGit(t, "", "", "--exec-path"), "git-remote-http"+exe())); err != nil {
		t.Skip("this git cannot do http: ", err)
	}
	runGit(t, bare, "", "update-server-info")
	server := httptest.NewServer(http.StripPrefix("/own/", http.FileServer(http.Dir(filepath.Dir(bare)))))
	defer server.Close()
	for _, v := range []string{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"} {
		t.Setenv(v, "")
	}
	url := server.URL + "/own/sample.git"
	cache := filepath.Join(t.TempDir(), "cache")

	if _, err := Open(t.Context(), url, Options{CacheDir: cache}); !errors.Is(err, ErrNetwork) {
		t.Fatalf("before cloning, offline: got %v, want ErrNetwork", err)
	}
	r := openAt(t, url, Options{CacheDir: cache, AllowNetwork: true})
	if r.Name() != "own/sample" {
		t.Errorf("name: got %q, want own/sample", r.Name())
	}
	first := snapshot(t, r, "", Filter{})
	if got := paths(first.Files); got != "pkg/a.py pkg/b/c.py" {
		t.Errorf("files: got %s", got)
	}

	// The default branch changes its name and content.
	runGit(t, bare, "commit refs/heads/trunk\ncommitter C <c@e> 1900000000 +0000\ndata 1\nx\nM 644 inline new.py\ndata 2\nx\n\n", "fast-import", "--quiet")
	runGit(t, bare, "", "symbolic-ref", "HEAD", "refs/heads/trunk")
	runGit(t, bare, "", "branch", "-D", "main")
	runGit(t, bare, "", "update-server-info")
	offline := snapshot(t, openAt(t, url, Options{CacheDir: cache}), "", Filter{})
	if offline.Commit != first.Commit {
		t.Errorf("offline: got commit %s, want that of the clone, %s", offline.Commit, first.Commit)
	}
	updated := snapshot(t, openAt(t, url, Options{CacheDir: cache, AllowNetwork: true}), "", Filter{})
	if got := paths(updated.Files); got != "new.py" {
		t.Errorf("updated: got %s, want new.py", got)
	}

	secret := strings.Replace(url, "://", "://me:hunter2@", 1)
	_, err := Open(t.Context(), secret+"-none", Options{CacheDir: cache, AllowNetwork: true})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("missing repository: got %v, want an error without the password", err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "*.partial"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

func TestNoGit(t *testing.T) {
	bare := newBare(t, change{files: twoFiles})
	plain := t.TempDir()
	writeFile(t, filepath.Join(plain, "a.py"), "x\n")
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(t.Context(), bare, Options{}); !errors.Is(err, ErrNoGit) {
		t.Errorf("got %v, want ErrNoGit", err)
	}
	if got := paths(snapshot(t, openAt(t, plain, Options{}), "", Filter{}).Files); got != "a.py" {
		t.Errorf("plain tree: got %s, want a.py", got)
	}
}

// TestHostileConfiguration gives a repository every setting that makes git run
// something, and expects that nothing runs.
func TestHostileConfiguration(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("uses a shell script")
	}
	bare := newBare(t, change{files: append(twoFiles, entry{path: ".gitattributes", data: "*.py diff=x filter=x\n"})})
	marker := filepath.Join(t.TempDir(), "ran")
	script := filepath.Join(t.TempDir(), "evil")
	writeFile(t, script, "#!/bin/sh\necho \"$0 $@\" >> '"+marker+"'\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"core.fsmonitor", "core.pager", "pager.log", "core.sshCommand", "core.alternateRefsCommand", "core.askPass",
		"gpg.program", "diff.external", "diff.x.textconv", "filter.x.smudge", "filter.x.process", "credential.helper",
		"core.gitProxy", "uploadpack.packObjectsHook", "core.editor",
	} {
		runGit(t, bare, "", "config", key, script)
	}
	runGit(t, bare, "", "config", "log.showSignature", "true")
	// A signed commit, which git log would have gpg.program verify.
	header, body, _ := strings.Cut(runGit(t, bare, "", "cat-file", "commit", "main"), "\n\n")
	signature := "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n"
	signed := runGit(t, bare, header+signature+body+"\n", "hash-object", "-t", "commit", "-w", "--stdin")
	runGit(t, bare, "", "update-ref", "refs/heads/main", signed)
	for _, hook := range []string{"post-checkout", "reference-transaction", "post-index-change"} {
		if err := os.MkdirAll(filepath.Join(bare, "hooks"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(script, filepath.Join(bare, "hooks", hook)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GIT_DIR", t.TempDir()) // as inside a hook of another repository
	t.Setenv("GIT_EXTERNAL_DIFF", script)
	r := openAt(t, bare, Options{})
	if got := len(texts(t, snapshot(t, r, "", Filter{}))); got != 2 {
		t.Errorf("files: got %d, want 2", got)
	}
	if _, err := r.Log(t.Context(), "", 0); err != nil {
		t.Error(err)
	}
	if ran, err := os.ReadFile(marker); err == nil {
		t.Errorf("the repository made git run %s", ran)
	}
}

// TestOtherOwner needs to be root to give a repository away.
func TestOtherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: cannot make a repository of another user")
	}
	bare := newBare(t, change{files: twoFiles})
	err := filepath.Walk(bare, func(p string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, 12345, 12345)
	})
	if err != nil {
		t.Skip("chown: ", err)
	}
	if got := len(texts(t, snapshot(t, openAt(t, bare, Options{}), "", Filter{}))); got != 2 {
		t.Errorf("files: got %d, want 2", got)
	}
}
