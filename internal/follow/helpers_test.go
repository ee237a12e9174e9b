package follow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/state"
)

// chain is a follower whose states are a hash chain over commits and the
// contents of the files that they changed: a commit that is left out, done twice
// or done in another order shows. It refuses a step that isn't the next one.
type chain struct {
	id     string
	exact  bool
	begins int
	steps  []string // subjects of the commits that were stepped over

	nothing bool    // there is no adapter
	scale   float64 // alpha of adapters; 0 is 1

	beginning func() // called by Begin, if not nil
}

func (c *chain) ID() string {
	if c.id == "" {
		return "chain"
	}
	return c.id
}
func (c *chain) Exact() bool { return c.exact }

// link is a state of a chain.
type link struct {
	N      int
	Tree   string
	Digest string
	Blobs  []string `json:",omitempty"` // of an exact one: "PATH BLOB", sorted
}

func (l *link) Steps() int                     { return l.N }
func (l *link) MarshalBinary() ([]byte, error) { return json.Marshal(l) }

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

func (c *chain) Begin(ctx context.Context, r *gitrepo.Repo, commit string, report func(encoder.Progress)) (evolve.State, error) {
	s, err := r.Snapshot(ctx, commit, gitrepo.Filter{})
	if err != nil {
		return nil, err
	}
	c.begins++
	if c.beginning != nil {
		c.beginning()
	}
	parts := []string{"begin"}
	var blobs []string
	err = s.Each(ctx, s.Files, func(f gitrepo.File, text []byte) error {
		parts = append(parts, f.Path, string(text))
		blobs = append(blobs, f.Path+" "+f.BlobID)
		return nil
	})
	l := &link{Tree: s.Tree, Digest: hash(parts...)}
	if c.exact {
		l.Blobs, l.Digest = blobs, hash(blobs...)
	}
	return l, err
}

func (c *chain) Advance(ctx context.Context, r *gitrepo.Repo, s evolve.State, step gitrepo.Step, parentTree string) (evolve.State, error) {
	l := s.(*link)
	if l.Tree != parentTree {
		return nil, fmt.Errorf("step from tree %s, but the state is of %s", parentTree, l.Tree)
	}
	b, err := r.Blobs(ctx)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	parts, have := []string{l.Digest, step.ID}, slices.Clone(l.Blobs)
	for _, ch := range step.Changes {
		if ch.OldBlob != "" {
			old := oldPath(ch) + " " + ch.OldBlob
			have = slices.DeleteFunc(have, func(s string) bool { return s == old })
		}
		if !ch.Regular() || !strings.HasSuffix(ch.Path, ".py") {
			continue
		}
		text, err := b.Read(ch.Blob, 1<<20)
		if err != nil {
			return nil, err
		}
		parts, have = append(parts, ch.Path, string(text)), append(have, ch.Path+" "+ch.Blob)
	}
	c.steps = append(c.steps, step.Subject)
	n := &link{N: l.N + 1, Tree: step.Tree, Digest: hash(parts...)}
	if c.exact {
		slices.Sort(have)
		n.Blobs, n.Digest = have, hash(have...)
	}
	return n, nil
}

func (c *chain) Decode(data []byte) (evolve.State, error) {
	l := new(link)
	if err := json.Unmarshal(data, l); err != nil {
		return nil, err
	}
	if len(l.Digest) != 64 {
		return nil, fmt.Errorf("digest of %d characters", len(l.Digest))
	}
	return l, nil
}

// Adapter makes factors of the digest.
func (c *chain) Adapter(s evolve.State) (*adapter.Adapter, error) {
	d := adapter.Dims{Arch: "llama", NumHiddenLayers: 1, NumAttentionHeads: 1, NumKeyValueHeads: 1}
	for m := range d.Modules {
		d.Modules[m] = adapter.Shape{In: 8, Out: 8}
	}
	if c.nothing {
		return nil, encoder.ErrNothing
	}
	a := adapter.New(d, []adapter.Module{adapter.QProj}, 1, cmp.Or(c.scale, 1), false)
	p := a.Layers[0][adapter.QProj]
	for i, b := range []byte(s.(*link).Digest)[:8] {
		p.A[i], p.B[i] = float32(b), float32(b%7)+1
	}
	return a, nil
}

// repo is a work tree of a test.
type repo struct {
	t    *testing.T
	dir  string
	date int
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "work"), date: 1700000000}
	runGit(t, "", "init", "-q", "-b", "main", r.dir)
	return r
}

// runGit runs git for a test, away from the user's configuration.
func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryGit(dir string, env []string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-c", "protocol.file.allow=always", "-c", "maintenance.auto=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	r.date += 60
	date := strconv.Itoa(r.date) + " +0000"
	out, err := tryGit(r.dir, []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *repo) write(path, text string) {
	r.t.Helper()
	file := filepath.Join(r.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		r.t.Fatal(err)
	}
}

// commit changes a file and commits everything.
func (r *repo) commit(subject string) string {
	r.t.Helper()
	r.write("src/"+subject+".py", "x = '"+subject+"'\n")
	r.write("src/all.py", "last = '"+subject+"'\n")
	return r.record(subject)
}

func (r *repo) record(subject string) string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", subject)
	return r.git("rev-parse", "HEAD")
}

// commits makes a commit for each letter.
func (r *repo) commits(letters string) (ids []string) {
	r.t.Helper()
	for _, l := range letters {
		ids = append(ids, r.commit(string(l)))
	}
	return ids
}

func open(t *testing.T, dir string) *gitrepo.Repo {
	t.Helper()
	g, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func newStore(t *testing.T) *state.Store {
	t.Helper()
	return openStore(t, t.TempDir())
}

func openStore(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newJob follows a work tree from its root, with a follower of its own.
func newJob(t *testing.T, r *repo) (Job, *chain) {
	t.Helper()
	f := &chain{}
	return Job{Repo: open(t, r.dir), Follower: f, Store: newStore(t), From: Root}, f
}

// update updates, and checks that the state is the one that a replay from its
// anchor gives.
func update(t *testing.T, j Job) *Result {
	t.Helper()
	res, err := Update(t.Context(), j, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkState(t, j, res)
	return res
}

func checkState(t *testing.T, j Job, res *Result) {
	t.Helper()
	_, got, err := j.Store.Get(t.Context(), state.Key{Repository: res.Repository, Commit: res.Commit, Model: Model(j.Follower)})
	if err != nil {
		t.Fatal(err)
	}
	c := j.Follower.(*chain)
	ref := &chain{exact: c.exact}
	from := res.Anchor
	if c.exact {
		from = res.Commit
	}
	s, err := ref.Begin(t.Context(), j.Repo, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree := s.(*link).Tree
	if err := j.Repo.History(t.Context(), res.Commit, from, func(step gitrepo.Step) error {
		s, err = ref.Advance(t.Context(), j.Repo, s, step, tree)
		tree = step.Tree
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want, _ := s.MarshalBinary()
	if c.exact { // however many steps it took
		l := new(link)
		if err := json.Unmarshal(got, l); err != nil {
			t.Fatal(err)
		}
		l.N = 0
		got, _ = l.MarshalBinary()
	}
	if !bytes.Equal(got, want) {
		t.Errorf("state at %.12s: got %s, a replay from %.12s gives %s", res.Commit, got, from, want)
	}
}

// noted tells whether a note has a text.
func noted(res *Result, text string) bool {
	return slices.ContainsFunc(res.Notes, func(n string) bool { return strings.Contains(n, text) })
}
