package mine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/licensecheck"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// survey is what is known of a repository before it is mined.
type survey struct {
	name    string
	url     string
	repo    *gitrepo.Repo
	commit  string
	root    gitrepo.Commit
	licence string
	blobs   []uint64 // of source files, sorted: the beginnings of their ids
	// language is that of most of the files in one of the languages that are
	// mined.
	language string
}

// survey opens a repository and looks at what needs no mining.
func (o *Options) survey(ctx context.Context, s Source) (*survey, error) {
	spec, url := s.Spec, ""
	if spec == "" {
		spec = gitrepo.Locate(o.Mirrors, s.Name)
	}
	if strings.Contains(spec, "://") {
		url = spec
	}
	repo, err := gitrepo.Open(ctx, spec, gitrepo.Options{AllowNetwork: o.Network, Name: s.Name})
	if err != nil {
		return nil, err
	}
	v := &survey{name: repo.Name(), url: url, repo: repo}
	if err := v.look(ctx, s.Commit, o); err != nil {
		repo.Close()
		return nil, err
	}
	return v, nil
}

func (v *survey) look(ctx context.Context, ref string, o *Options) (err error) {
	if v.commit, err = v.repo.Resolve(ctx, ref); err != nil {
		return err
	}
	if v.root, err = v.repo.Root(ctx, v.commit); err != nil {
		return err
	}
	if v.licence, err = licence(ctx, v.repo, v.commit); err != nil {
		return err
	}
	snap, err := v.repo.Snapshot(ctx, v.commit, gitrepo.Filter{Languages: o.Languages, MaxBytes: int64(o.MaxFileBytes)})
	if err != nil {
		return err
	}
	files := map[string]int{}
	for _, f := range snap.Files {
		files[f.Language]++
		if f.Size >= minShared { // less is too little to tell copies by
			h, err := blobHash(f.BlobID)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			v.blobs = append(v.blobs, h)
		}
	}
	slices.Sort(v.blobs)
	v.blobs = slices.Compact(v.blobs)
	for _, language := range sortedKeys(files) {
		if files[language] > files[v.language] {
			v.language = language
		}
	}
	return nil
}

// history returns the track that the repository's history is of. Of the OOD
// track are those that began on the cut-off date or later, and those that are in
// another language than Python, which all others are in.
func (o *Options) history(v *survey) repopeft.Track {
	young := !o.Cutoff.IsZero() && !v.root.Time.Before(o.Cutoff)
	foreign := v.language != "" && v.language != "python" && slices.Contains(o.Tracks, repopeft.OOD)
	if young || foreign {
		return repopeft.OOD
	}
	return repopeft.Evolution
}

// maxLicence is the size above which a file isn't a licence.
const maxLicence = 256 << 10

// licence returns the SPDX identifier of the licences in the root folder; of
// several, all of them, joined by "AND"; "" if there is none that is known.
func licence(ctx context.Context, repo *gitrepo.Repo, commitID string) (string, error) {
	top, err := repo.Top(ctx, commitID)
	if err != nil {
		return "", err
	}
	top = slices.DeleteFunc(top, func(f gitrepo.File) bool { return !isLicence(f.Path) || f.Size > maxLicence })
	if len(top) == 0 {
		return "", nil
	}
	blobs, err := repo.Blobs(ctx)
	if err != nil {
		return "", err
	}
	defer blobs.Close()
	var ids []string
	for _, f := range top {
		raw, err := blobs.Read(f.BlobID, maxLicence)
		if errors.Is(err, gitrepo.ErrMissingObject) {
			continue
		}
		if err != nil {
			return "", err
		}
		ids = append(ids, licencesIn(raw)...)
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND "), nil
}

// isLicence tells whether a file is named as licences are.
func isLicence(name string) bool {
	name = strings.ToLower(name)
	switch path.Ext(name) {
	case "", ".md", ".txt", ".rst", ".mit", ".apache", ".bsd":
	default:
		return false
	}
	for _, stem := range []string{"license", "licence", "copying", "unlicense"} {
		if strings.HasPrefix(name, stem) {
			return true
		}
	}
	return false
}

// licencesIn returns the licences that make up at least half of a text.
func licencesIn(text []byte) []string {
	c := licensecheck.Scan(text)
	if c.Percent < 50 {
		return nil
	}
	var ids []string
	for _, m := range c.Match {
		if !m.IsURL {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// A repository is told a copy by files of so many bytes or more, and needs so
// many of them.
const (
	minShared = 128
	minCommon = 10
)

// copies finds the repositories that are forks or copies of others: of two that
// have their first commit in common, or most of the files of the smaller one,
// the one that is not of the test split goes, else the one that is not of the
// validation split, else the one with fewer files, else the later name. It
// returns the reason for each that goes.
func copies(all []*survey, shared float64) map[*survey]string {
	gone := map[*survey]string{}
	if shared == 0 {
		return gone
	}
	order := slices.Clone(all)
	slices.SortFunc(order, func(a, b *survey) int {
		return cmp.Or(cmp.Compare(rankOf(a.name), rankOf(b.name)), cmp.Compare(len(b.blobs), len(a.blobs)), strings.Compare(a.name, b.name))
	})
	roots := map[string]*survey{}
	holders := map[uint64][]*survey{}
	for _, v := range order {
		if why := v.copyOf(order, roots, holders, shared); why != "" {
			gone[v] = why
			continue
		}
		roots[v.root.ID] = v
		for _, b := range v.blobs {
			holders[b] = append(holders[b], v)
		}
	}
	return gone
}

// copyOf returns why a repository is a copy of one of those that stay.
func (v *survey) copyOf(order []*survey, roots map[string]*survey, holders map[uint64][]*survey, shared float64) string {
	if first := roots[v.root.ID]; first != nil {
		return "fork: has its first commit in common with " + first.name
	}
	common := map[*survey]int{}
	for _, b := range v.blobs {
		for _, h := range holders[b] {
			common[h]++
		}
	}
	for _, h := range order { // in order, so that the reason is always the same
		least := min(len(v.blobs), len(h.blobs))
		if n := common[h]; n >= minCommon && float64(n) >= shared*float64(least) {
			return fmt.Sprintf("copy: has %d of %d files in common with %s", n, least, h.name)
		}
	}
	return ""
}

// rankOf orders repositories by who keeps what several have: those that are
// tested on, then those that are validated on.
func rankOf(name string) int {
	switch dataset.SplitOf(name) {
	case dataset.Test:
		return 0
	case dataset.Validation:
		return 1
	}
	return 2
}
