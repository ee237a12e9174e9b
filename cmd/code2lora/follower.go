package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/follow"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/state"
	"github.com/code2lora/code2lora/internal/store"
)

// followFlags are the flags of the commands that follow a repository.
type followFlags struct {
	ref, base, checkpoint, store string
	mode                         string // empty: by the checkpoint
}

// The ways to an adapter.
const (
	modeStatic   = "static"   // from the files at a commit
	modeEvo      = "evo"      // from a state that followed the commits
	modeAdditive = "additive" // from sums over files, which are kept
)

func (o *followFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.ref, "at", "", "follow the history of `REF`: a branch, tag or commit (default HEAD)")
	f.StringVar(&o.checkpoint, "checkpoint", "", "hypernetwork checkpoint `FILE` (default: the one for the base)")
	f.StringVar(&o.store, "store", "", "keep states in `WHERE`: a folder, or s3://BUCKET/PREFIX?endpoint=HOST (default: states in the program's folder)")
	baseFlag(c, &o.base)
	precisionFlag(c, kernel.Int8)
}

// shared tells whether clones on other machines may use the store.
func (o *followFlags) shared() bool { return strings.Contains(o.store, "://") }

// followed is what the commands work on.
type followed struct {
	follow.Job
	carrier *carrier
	mode    string // of the carrier
	base    *base
	flag    followFlags
}

// carrier is a follower, and what it was made of.
type carrier struct {
	evolve.Follower
	mode       string
	checkpoint string // its SHA-256
}

// openStates opens repository and store, which are closed with the app.
func (a *app) openStates(ctx context.Context, spec string, o followFlags) (*gitrepo.Repo, *state.Store, error) {
	var git io.Writer = a.err
	if a.quiet {
		git = nil
	}
	r, err := gitrepo.Open(ctx, spec, gitrepo.Options{AllowNetwork: networkAllowed(), CacheDir: store.Clones(), Progress: git})
	if err != nil {
		return nil, nil, err
	}
	a.closers = append(a.closers, r.Close)
	s, err := state.Open(ctx, o.store)
	if err != nil {
		return nil, nil, unusable(err)
	}
	a.closers = append(a.closers, s.Close)
	return r, s, nil
}

// openFollowed opens repository, store and follower; all of it is closed with
// the app.
func (a *app) openFollowed(ctx context.Context, spec string, o followFlags) (*followed, error) {
	r, s, err := a.openStates(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	b, err := a.openBase(ctx, o.base)
	if err != nil {
		return nil, err
	}
	cache, err := vectorCache()
	if err != nil {
		return nil, err
	}
	f, err := a.follower(o, b, cache)
	if err != nil {
		return nil, err
	}
	return &followed{carrier: f, mode: f.mode, base: b, flag: o, Job: follow.Job{Repo: r, Ref: o.ref, Follower: f.Follower, Store: s, Checkpoint: f.checkpoint[:12],
		Progress: a.bar().reading}}, nil
}

// openLog opens repository and store for [follow.Log], which has no use for the
// base model.
func (a *app) openLog(ctx context.Context, spec string, o followFlags) (*follow.Job, error) {
	r, s, err := a.openStates(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	b, err := a.describeBase(ctx, o.base)
	if err != nil {
		return nil, err
	}
	id, checkpoint, err := a.followerID(o, b)
	if err != nil {
		return nil, err
	}
	return &follow.Job{Repo: r, Ref: o.ref, ID: id, Store: s, Checkpoint: checkpoint[:12]}, nil
}

// followerID returns the id of the follower of a checkpoint, and the SHA-256 of
// that.
func (a *app) followerID(o followFlags, b *base) (id, checkpoint string, err error) {
	ck, r, err := a.loadAny(o.checkpoint, b)
	if err != nil {
		return "", "", err
	}
	if r != nil {
		id, err = evolve.RecurrentID(r.Checkpoint)
		return id, r.sha256, err
	}
	id, err = evolve.AdditiveID(ck.Encoder, gitrepo.Filter{})
	if err != nil {
		return "", "", unusable(fmt.Errorf("checkpoint %s: %w", ck.Name, err))
	}
	return id, ck.sha256, nil
}

// follower returns what carries states with a checkpoint, whose kind decides
// which it is. With a mode it has to be that one.
func (a *app) follower(o followFlags, b *base, cache encoder.Cache) (*carrier, error) {
	ck, r, err := a.loadAny(o.checkpoint, b)
	if err != nil {
		return nil, err
	}
	if r != nil {
		if o.mode == modeAdditive {
			return nil, unusable(fmt.Errorf("checkpoint %s: --mode additive: %w", cmp.Or(o.checkpoint, r.Name), hypernet.ErrRecurrent))
		}
		f, err := evolve.NewRecurrent(r.Checkpoint, b.model, b.tokenizer, cache)
		if err != nil {
			return nil, unusable(err)
		}
		return &carrier{f, modeEvo, r.sha256}, nil
	}
	if o.mode == modeEvo {
		return nil, unusable(fmt.Errorf("checkpoint %s has no recurrence over commits: --mode evo needs one that was trained with it, --mode additive works with this one", ck.Name))
	}
	opt, err := encoder.ParseID(ck.Encoder)
	if err != nil {
		return nil, unusable(fmt.Errorf("checkpoint %s: %w", ck.Name, err))
	}
	enc, err := encoder.New(opt, b.model, b.tokenizer, cache)
	if err != nil {
		return nil, unusable(fmt.Errorf("checkpoint %s: %w", ck.Name, err))
	}
	files, ok := enc.(encoder.Filewise)
	if !ok {
		return nil, unusable(fmt.Errorf("checkpoint %s reads a repository by encoder %q, which isn't made of files: there are no sums to keep", ck.Name, ck.Encoder))
	}
	f, err := evolve.NewAdditive(ck.Checkpoint, files, gitrepo.Filter{})
	if err != nil {
		return nil, unusable(err)
	}
	return &carrier{f, modeAdditive, ck.sha256}, nil
}

// noteAll tells the user what an update has to say.
func (a *app) noteAll(list []string) {
	for _, n := range list {
		a.note("note: %s", n)
	}
}

// write writes the adapter of the state that an update has reached. If the ref has
// moved on since, and another update has written its adapter already, newer is the
// commit of that, and nothing is written.
func (f *followed) write(ctx context.Context, out string, res *follow.Result) (ad *adapter.Adapter, newer string, err error) {
	if ad, err = f.adapter(res.State(), res); err != nil {
		return nil, "", err
	}
	path, err := filepath.Abs(out)
	if err != nil {
		return nil, "", err
	}
	path = filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
	unlock, err := store.Lock(ctx, rootFile("outputs", path, ".lock"))
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	if newer = f.newer(ctx, out, ad); newer != "" {
		return nil, newer, nil
	}
	return ad, "", adapter.WriteNative(out, ad, adapter.Options{})
}

// newer returns the commit of the adapter in a folder, if that is of the same
// repository and checkpoint as ad, and nearer to where the ref is now.
func (f *followed) newer(ctx context.Context, out string, ad *adapter.Adapter) string {
	now, err := f.Repo.Resolve(ctx, f.Ref)
	mine := ad.Provenance
	if err != nil || now == mine.Commit {
		return ""
	}
	there, err := adapter.ReadNative(out)
	if err != nil { // there is none
		return ""
	}
	p := there.Provenance
	if p.Repository != mine.Repository || p.CheckpointSHA256 != mine.CheckpointSHA256 || p.Commit == mine.Commit || p.Commit == "" {
		return ""
	}
	if p.Commit == now {
		return p.Commit
	}
	after, err := f.Repo.IsAncestor(ctx, mine.Commit, p.Commit)
	if err != nil || !after {
		return ""
	}
	if on, err := f.Repo.IsAncestor(ctx, p.Commit, now); err != nil || !on {
		return ""
	}
	return p.Commit
}

// adapter makes the adapter of a state.
func (f *followed) adapter(s evolve.State, res *follow.Result) (*adapter.Adapter, error) {
	ad, err := f.Follower.Adapter(s)
	if err != nil {
		return nil, err
	}
	p := &ad.Provenance
	p.Repository, p.Commit, p.CheckpointSHA256, p.Tool = f.Repo.Name(), res.Commit, f.carrier.checkpoint, tool()
	return ad, nil
}

// finite returns nil for what JSON has no number for.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// driftText says how far a state may have drifted.
func driftText(exact bool, churn float64) string {
	if exact {
		return "none: the state is exact"
	}
	return fmt.Sprintf("churn %.3f since the anchor, an estimate (\"code2lora drift\" measures)", churn)
}

// day is how dates of commits are shown.
func day(t time.Time) string {
	if t.IsZero() {
		return "----------"
	}
	return t.Format(time.DateOnly)
}
