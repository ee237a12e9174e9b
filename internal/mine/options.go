package mine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// Profile names a set of rules.
type Profile string

// The profiles; docs/benchmark.md has their rules.
const (
	Paper  Profile = "paper"  // those of the authors' code
	Strict Profile = "strict" // ours
)

// Languages are those that tasks can be mined from.
var Languages = []string{"go", "java", "javascript", "python", "typescript"}

// Options says what is mined. What changes the tasks of a repository on its own
// is in Rules, whose digest is the key of the work that is kept.
type Options struct {
	Rules
	Tracks []repopeft.Track `json:"tracks"`
	// Since, unless zero, leaves out the evolution tasks of commits that were
	// written before.
	Since time.Time `json:"since,omitzero"`
	// Cutoff divides repositories and commits: those that began on this date or
	// later are of the OOD track (as are those in another language than Python,
	// with or without a date); of the others, evolution tasks of commits from this
	// date on are left out. Zero is no limit.
	Cutoff time.Time `json:"cut_off,omitzero"`
	// Near is the similarity of two tasks from which on one of them is dropped
	// if they are in different splits; 0 keeps all.
	Near float64 `json:"near"`
	// Shared is the part of a repository's files from which on it is a copy of
	// another one that has them too; 0 looks for no copies.
	Shared float64 `json:"shared"`
	// MinTasks is the number of static tasks below which a repository is left
	// out of the static track.
	MinTasks int `json:"min_tasks"`

	Dir     string `json:"-"` // where the benchmark is written
	Work    string `json:"-"` // where shards are kept; "" is "work" in Dir
	Mirrors string `json:"-"` // folder of local clones, see [Locate]
	Network bool   `json:"-"` // whether a URL may be cloned
	Jobs    int    `json:"-"` // repositories at the same time; at least 1
	Tool    string `json:"-"` // for the manifest
}

// Rules are the options that decide on a repository's tasks. A cap of 0 means
// no cap; each kind has its own.
type Rules struct {
	Profile   Profile         `json:"profile"`
	Kinds     []repopeft.Kind `json:"kinds"`
	Languages []string        `json:"languages"`

	MaxFileBytes   int `json:"max_file_bytes"`
	MaxTargetBytes int `json:"max_target_bytes"`
	MaxPrefixBytes int `json:"max_prefix_bytes"` // of whole lines before the target; 0 keeps the file
	MaxSuffixBytes int `json:"max_suffix_bytes"` // of whole lines behind it; 0 keeps the file
	MaxDiffBytes   int `json:"max_diff_bytes"`   // of a commit's production diff

	PerFunction   int `json:"per_function"`
	PerFile       int `json:"per_file"`
	PerRepository int `json:"per_repository"`
	PerCommit     int `json:"per_commit"`      // evolution: tasks of a commit
	PerCommitFile int `json:"per_commit_file"` // evolution: tasks of a file in a commit
}

// Defaults returns the options of a profile.
func Defaults(p Profile) Options {
	o := Options{
		Rules: Rules{
			Profile: p, Kinds: []repopeft.Kind{repopeft.Assertion}, Languages: []string{"python"},
			MaxFileBytes: 1 << 20, MaxTargetBytes: 200, MaxPrefixBytes: 32 << 10, MaxSuffixBytes: 8 << 10, MaxDiffBytes: 256 << 10,
			PerFunction: 5, PerFile: 20, PerRepository: 200, PerCommit: 8, PerCommitFile: 4,
		},
		Tracks: []repopeft.Track{repopeft.Static}, Near: 0.8, Shared: 0.5, Jobs: 1,
	}
	if p == Paper {
		o.MaxFileBytes, o.MaxTargetBytes = 8<<20, 500
		o.MaxPrefixBytes, o.MaxSuffixBytes, o.MaxDiffBytes = 0, 0, 16<<20
		o.Near, o.Shared, o.MinTasks = 0, 0, 30
	}
	return o
}

// Validate reports every option that cannot work, in one error.
func (o *Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Profile != Paper && o.Profile != Strict {
		bad("profile is %q, want %q or %q", o.Profile, Paper, Strict)
	}
	subset(bad, "tracks", o.Tracks, []repopeft.Track{repopeft.Static, repopeft.Evolution, repopeft.OOD})
	subset(bad, "kinds", o.Kinds, []repopeft.Kind{repopeft.Assertion, repopeft.Call, repopeft.Line})
	subset(bad, "languages", o.Languages, Languages)
	if o.Profile == Paper && !slices.Equal(o.Kinds, []repopeft.Kind{repopeft.Assertion}) {
		bad("kinds are %q, but the profile %q has %q only", o.Kinds, Paper, repopeft.Assertion)
	}
	if o.Profile == Paper && !slices.Equal(o.Languages, []string{"python"}) {
		bad("languages are %q, but the profile %q has %q only", o.Languages, Paper, "python")
	}
	if slices.Contains(o.Tracks, repopeft.OOD) && o.Cutoff.IsZero() && slices.Equal(o.Languages, []string{"python"}) {
		bad("the track %q needs a cut-off date or other languages: its repositories are those that began since, or are in another language than python", repopeft.OOD)
	}
	for _, f := range []struct {
		name   string
		n, min int
	}{
		{"max_file_bytes", o.MaxFileBytes, 1}, {"max_target_bytes", o.MaxTargetBytes, 1},
		{"max_prefix_bytes", o.MaxPrefixBytes, 0}, {"max_suffix_bytes", o.MaxSuffixBytes, 0}, {"max_diff_bytes", o.MaxDiffBytes, 0},
		{"per_function", o.PerFunction, 0}, {"per_file", o.PerFile, 0}, {"per_repository", o.PerRepository, 0},
		{"per_commit", o.PerCommit, 0}, {"per_commit_file", o.PerCommitFile, 0}, {"min_tasks", o.MinTasks, 0}, {"jobs", o.Jobs, 1},
	} {
		if f.n < f.min {
			bad("%s is %d, must be at least %d", f.name, f.n, f.min)
		}
	}
	if o.Near < 0 || o.Near > 1 || o.Shared < 0 || o.Shared > 1 {
		bad("near is %g and shared is %g, want numbers from 0 to 1", o.Near, o.Shared)
	}
	if o.Dir == "" {
		bad("no folder is given for the benchmark")
	}
	if len(errs) > 0 {
		return fmt.Errorf("mining options: %w", errors.Join(errs...))
	}
	return nil
}

// subset checks a list of names.
func subset[T ~string](bad func(string, ...any), what string, got, want []T) {
	if len(got) == 0 {
		bad("%s: none is given, want some of %q", what, want)
	}
	for i, g := range got {
		if !slices.Contains(want, g) {
			bad("%s: %q is not one of %q", what, g, want)
		}
		if slices.Contains(got[:i], g) {
			bad("%s: %q is given twice", what, g)
		}
	}
}

// rulesVersion changes when the same rules give other tasks than before.
const rulesVersion = 2

// digest identifies the rules.
func (r Rules) digest() string {
	r.Kinds, r.Languages = slices.Sorted(slices.Values(r.Kinds)), slices.Sorted(slices.Values(r.Languages))
	data, err := json.Marshal(struct {
		Rules
		Version int `json:"version"`
	}{r, rulesVersion})
	if err != nil {
		panic(err) // numbers and strings only
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func (r Rules) has(k repopeft.Kind) bool { return slices.Contains(r.Kinds, k) }
