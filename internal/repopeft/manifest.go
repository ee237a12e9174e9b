package repopeft

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
)

// The files of a benchmark, and the version of their format.
const (
	tasksFile     = "tasks.parquet"
	commitsFile   = "commits.parquet"
	manifestFile  = "manifest.json"
	formatVersion = 1
)

// ErrUnfinished is returned for a folder that isn't a finished benchmark.
var ErrUnfinished = errors.New("not a finished benchmark: it has no " + manifestFile)

// Manifest describes a finished benchmark. Those who mine fill it in, except
// for what [Writer.Close] counts and digests, which is marked with "set by
// Close".
type Manifest struct {
	Format  int    `json:"format"`  // set by Close
	Tool    string `json:"tool"`    // program and version
	Profile string `json:"profile"` // rules that it was mined by, "paper" or "strict"; or [Released]
	// Options are all settings of the miner, as one JSON object.
	Options json.RawMessage `json:"options,omitempty"`
	// CutOff is the date (YYYY-MM-DD) after which repositories of the OOD track
	// began; "" without such a track.
	CutOff       string            `json:"cut_off,omitempty"`
	Tracks       []Track           `json:"tracks"`       // set by Close: those with tasks
	Tasks        int               `json:"tasks"`        // set by Close
	Commits      int               `json:"commits"`      // set by Close
	SHA256       map[string]string `json:"sha256"`       // set by Close: digests of the Parquet files
	Repositories []Repository      `json:"repositories"` // sorted by Close
	Excluded     []Excluded        `json:"excluded,omitempty"`
	Near         *Near             `json:"near,omitempty"`   // nil if no near-duplicates were looked for, and in manifests of older versions
	Absent       *Absent           `json:"absent,omitempty"` // of the profile [Released]
}

// Repository is what was mined from a repository.
type Repository struct {
	Name    string `json:"name"`          // owner/name
	Commit  string `json:"commit"`        // full id of the newest commit that was read
	URL     string `json:"url,omitempty"` // where it was cloned from
	Licence string `json:"licence"`       // SPDX identifier, or "" if it isn't known
	// Split is [dataset.SplitOf] of the name, set by Close; of the profile
	// [Released] that of the files.
	Split       dataset.Split    `json:"split"`
	FirstCommit string           `json:"first_commit,omitempty"` // date of its oldest commit, RFC 3339
	Tracks      map[Track]Counts `json:"tracks"`
	// Skipped counts files and commits that nothing was mined from, for each
	// reason.
	Skipped map[string]int `json:"skipped,omitempty"`
}

// Counts counts what a track has of a repository. All but Dropped is set by
// Close.
type Counts struct {
	Tasks   int                   `json:"tasks"`
	Commits int                   `json:"commits"` // rows of commits.parquet
	Kinds   map[Kind]int          `json:"kinds,omitempty"`
	InRepo  map[dataset.Split]int `json:"in_repo,omitempty"` // tasks
	// Dropped counts tasks that were found and left out, for each reason.
	Dropped map[string]int `json:"dropped,omitempty"`
}

// Excluded is a repository of the list that was left out as a whole.
type Excluded struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Near counts what the search for near-duplicates across splits compared, in all
// tracks together.
type Near struct {
	Compared int `json:"compared"`  // tasks
	TooShort int `json:"too_short"` // tasks that have too few tokens to be compared
	// PartlyCompared counts tasks that were kept though some of those which share
	// a band of hashes with them were not looked at, because too many do;
	// NotCompared are these comparisons, those of several bands each.
	PartlyCompared int `json:"partly_compared"`
	NotCompared    int `json:"not_compared"`
}

// Repository returns what the manifest has of a repository, or nil.
func (m *Manifest) Repository(name string) *Repository {
	for i := range m.Repositories {
		if m.Repositories[i].Name == name {
			return &m.Repositories[i]
		}
	}
	return nil
}

// key is what rows are counted by.
type key struct {
	repository string
	track      Track
}

// complete sorts the repositories and fills in their splits and counts.
func (m *Manifest) complete(counts map[key]*Counts) error {
	slices.SortFunc(m.Repositories, func(a, b Repository) int { return strings.Compare(a.Name, b.Name) })
	for i := range m.Repositories {
		r := &m.Repositories[i]
		if i > 0 && m.Repositories[i-1].Name == r.Name {
			return fmt.Errorf("manifest: repository %s is there twice", r.Name)
		}
		if m.Profile != Released {
			r.Split = dataset.SplitOf(r.Name)
		}
		tracks := map[Track]Counts{}
		for track, c := range r.Tracks {
			tracks[track] = Counts{Dropped: c.Dropped}
		}
		for k, c := range counts {
			if k.repository == r.Name {
				filled := *c
				filled.Dropped = r.Tracks[k.track].Dropped
				tracks[k.track] = filled
			}
		}
		r.Tracks = tracks
	}
	for k := range counts {
		if m.Repository(k.repository) == nil {
			return fmt.Errorf("manifest: repository %s has tasks or commits, but is missing", k.repository)
		}
	}
	m.Tracks, m.Tasks, m.Commits = nil, 0, 0
	for k, c := range counts {
		m.Tasks += c.Tasks
		m.Commits += c.Commits
		if c.Tasks > 0 && !slices.Contains(m.Tracks, k.track) {
			m.Tracks = append(m.Tracks, k.track)
		}
	}
	slices.Sort(m.Tracks)
	return nil
}

// check reports what is wrong with a manifest that has been read.
func (m *Manifest) check() error {
	if m.Format != formatVersion {
		return fmt.Errorf("format %d, want %d", m.Format, formatVersion)
	}
	for _, name := range []string{tasksFile, commitsFile} {
		if len(m.SHA256[name]) != 64 {
			return fmt.Errorf("sha256 of %s is %q, want 64 hexadecimal digits", name, m.SHA256[name])
		}
	}
	for _, r := range m.Repositories {
		if m.Profile == Released {
			if err := oneOf("split", r.Split, splits); err != nil {
				return fmt.Errorf("repository %s: %w", r.Name, err)
			}
			continue
		}
		if want := dataset.SplitOf(r.Name); r.Split != want {
			return fmt.Errorf("repository %s: split %q, want %q, which its name gives", r.Name, r.Split, want)
		}
	}
	return nil
}
