package mine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
)

// saveEvery is the number of commits after which the state of a history that is
// being mined is saved.
const saveEvery = 500

// history mines the commits of a repository, oldest first.
type history struct {
	Rules
	name    string
	blobs   *gitrepo.Blobs
	diffs   *gitrepo.Diffs
	state   *state
	out     *shardWriter
	defined map[string]index // by language: the names that production code defines now
	tests   map[string]bool  // paper: files that are tests at the last commit
	commits int              // that were read
}

// mineHistory makes the shard of a history, or goes on with it.
func (r Rules) mineHistory(ctx context.Context, dir string, repo *gitrepo.Repo, name, commitID string) (s *shard, read int, err error) {
	file := shardPath(dir, name, "history", r.digest())
	st, err := readState(file, name, r.digest())
	if err != nil {
		return nil, 0, err
	}
	m := &history{Rules: r, name: name}
	testsDigest := ""
	if r.Profile == Paper {
		if m.tests, testsDigest, err = r.paperTests(ctx, repo, commitID); err != nil {
			return nil, 0, err
		}
	}
	if st != nil && st.Tests != testsDigest {
		st = nil
	}
	if st != nil && st.Finished && st.Commit == commitID {
		return &shard{file, st}, 0, nil
	}
	if st != nil {
		err = m.walk(ctx, repo, file, commitID, st)
		if err == nil || !errors.Is(err, gitrepo.ErrNotAncestor) {
			return &shard{file, m.state}, m.commits, err
		}
	}
	// Never mined, or the history was rewritten.
	err = m.walk(ctx, repo, file, commitID, &state{Repository: name, Rules: r.digest(), Tests: testsDigest,
		Dropped: counter{}, Skipped: counter{}, Files: map[string]*fileKeys{}})
	return &shard{file, m.state}, m.commits, err
}

// walk mines the commits behind a state.
func (m *history) walk(ctx context.Context, repo *gitrepo.Repo, file, commitID string, st *state) (err error) {
	m.state = st
	if m.blobs, err = repo.Blobs(ctx); err != nil {
		return err
	}
	defer m.blobs.Close()
	if m.diffs, err = repo.Diffs(ctx); err != nil {
		return err
	}
	defer m.diffs.Close()
	if m.out, err = appendShard(file, st.Bytes); err != nil {
		return err
	}
	defer m.out.close()
	if st.Files == nil {
		st.Files = map[string]*fileKeys{}
	}
	m.defined = map[string]index{}
	for name, f := range st.Files {
		m.define(name, f, 1)
	}
	st.Finished = false
	err = repo.History(ctx, commitID, st.Commit, func(s gitrepo.Step) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := m.step(s); err != nil {
			return fmt.Errorf("commit %s: %w", s.ID, err)
		}
		st.Commit = s.ID
		if m.commits++; m.commits%saveEvery == 0 {
			return m.out.save(st)
		}
		return nil
	})
	if err != nil {
		return err
	}
	st.Commit, st.Finished = commitID, true
	if err := m.out.save(st); err != nil {
		return err
	}
	return m.out.close()
}

// define adds the names of a file to those that are known, or removes them.
func (m *history) define(name string, f *fileKeys, n int) {
	if f == nil || len(f.Names) == 0 {
		return
	}
	language := family(gitrepo.Language(name))
	if m.defined[language] == nil {
		m.defined[language] = index{}
	}
	m.defined[language].add(f.Names, n)
}

// version is a file that a commit changed.
type version struct {
	path, from string // from: its path before
	blob       string
	old, new   *fileKeys
	items      []item
}

// step mines one commit.
func (m *history) step(s gitrepo.Step) error {
	versions, err := m.versions(s)
	if err != nil {
		return err
	}
	added, modified := m.events(versions)
	for _, v := range versions { // from here on the names are those of this commit
		m.define(v.from, v.old, -1)
		m.define(v.path, v.new, 1)
	}
	if added+modified == 0 {
		m.state.Skipped["commit without a new task"]++
		return nil
	}
	if m.Profile == Strict {
		m.capCommit(s.ID, versions)
	}
	diff, err := m.diffs.Between(m.state.KeptTree, s.Tree, m.MaxDiffBytes, m.production)
	if errors.Is(err, gitrepo.ErrMissingObject) {
		m.state.Skipped["diff for which an object is missing"]++
	} else if err != nil {
		return err
	}
	if diff.Unlike {
		m.state.Skipped["renames of a diff for which an object is missing"]++
	}
	if diff.Cut {
		m.state.Skipped["rest of a diff that is too long"]++
	}
	c := commit{ID: s.ID, Diff: strings.ToValidUTF8(diff.Text, "\uFFFD"), Added: added, Modified: modified}
	if len(s.Parents) > 0 {
		c.Parent = s.Parents[0]
	}
	if !s.Time.IsZero() {
		c.Time, c.Unix = s.Time.Format(time.RFC3339), s.Time.Unix()
	}
	if err := m.out.write(record{Commit: &c}); err != nil {
		return err
	}
	for _, v := range versions {
		if err := m.writeVersion(v); err != nil {
			return err
		}
	}
	m.state.Kept, m.state.KeptTree = append(m.state.Kept, c.Unix), s.Tree
	return nil
}

func (m *history) writeVersion(v version) error {
	if len(v.items) == 0 {
		return nil
	}
	raw, err := m.blobs.Read(v.blob, int64(m.MaxFileBytes))
	if err != nil {
		return err
	}
	text := string(raw)
	if m.Profile == Paper {
		text = paperText(raw)
	}
	return m.out.write(record{Document: &document{File: v.path, Language: gitrepo.Language(v.path), Blob: v.blob, Text: text, Items: v.items}})
}

// relevant tells whether a file can have tasks, or define names.
func (m *history) relevant(name string) bool {
	if m.Profile == Paper {
		return m.tests[name] || strings.HasSuffix(name, ".py") && !skippedFolder(name, skipCommit) && gitrepo.IsTestPathLoose(name)
	}
	if !slices.Contains(m.Languages, gitrepo.Language(name)) || gitrepo.IsVendoredPath(name) {
		return false
	}
	return gitrepo.IsTestPath(name) || m.has(repopeft.Call) || m.has(repopeft.Line)
}

// production tells whether the diff of a file is part of a commit's: sources
// and documentation, without tests.
func (m *history) production(name string) bool {
	if m.Profile == Paper {
		ext := path.Ext(name)
		return (ext == ".py" || ext == ".md" || ext == ".rst") && !skippedFolder(name, skipCommit) && !gitrepo.IsTestPathLoose(name)
	}
	language := gitrepo.Language(name)
	wanted := slices.Contains(m.Languages, language) || language == "markdown" || language == "restructuredtext"
	return wanted && !gitrepo.IsTestPath(name) && !gitrepo.IsVendoredPath(name)
}

// versions reads the files that a commit changed, and moves the state on. The
// names that they defined before are still known.
func (m *history) versions(s gitrepo.Step) ([]version, error) {
	olds := make([]*fileKeys, len(s.Changes))
	for i, c := range s.Changes {
		from := c.Path
		if c.Status == 'R' {
			from = c.From
		}
		if c.Status != 'C' {
			olds[i] = m.state.Files[from]
		}
	}
	var versions []version
	for _, c := range s.Changes { // all at once, for files may change their names with each other
		if c.Status == 'R' {
			delete(m.state.Files, c.From)
		}
		delete(m.state.Files, c.Path)
	}
	for i, c := range s.Changes {
		if !c.Regular() || !m.relevant(c.Path) {
			if olds[i] != nil {
				versions = append(versions, version{path: c.Path, from: cmp.Or(c.From, c.Path), old: olds[i]})
			}
			continue
		}
		v, err := m.version(c, olds[i])
		if err != nil {
			return nil, err
		}
		versions = append(versions, v)
		m.state.Files[c.Path] = v.new
	}
	return versions, nil
}

// version reads one changed file.
func (m *history) version(c gitrepo.Change, old *fileKeys) (version, error) {
	v := version{path: c.Path, from: cmp.Or(c.From, c.Path), blob: c.Blob, old: old}
	if old != nil && c.Blob == c.OldBlob && gitrepo.IsTestPath(v.path) == gitrepo.IsTestPath(v.from) {
		v.new = old
		return v, nil
	}
	raw, reason, err := content(m.blobs, c.Blob, m.MaxFileBytes)
	if err != nil {
		return v, err
	}
	if reason == "" {
		if m.Profile == Paper {
			v.items, reason = paperVersion(raw)
			v.new = &fileKeys{Keys: newKeys(v.items)}
		} else {
			reason = m.strictVersion(&v, raw)
		}
	}
	if reason != "" {
		m.state.dropFile(reason)
		v.items = nil
		// The paper forgets what a file had when it can't be parsed. We wait for
		// it to be readable again.
		if v.new = old; v.new == nil || m.Profile == Paper {
			v.new = &fileKeys{}
		}
	}
	return v, nil
}

// strictVersion fills in what the strict profile finds in a file.
func (m *history) strictVersion(v *version, raw []byte) dataset.Reason {
	s, reason := m.read(v.path, raw)
	if reason != "" {
		return reason
	}
	v.items = m.candidates(s)
	setKeys(s, v.items)
	v.new = &fileKeys{Keys: newKeys(v.items)}
	if s.outline.Errors > 0 && v.old != nil { // what is broken now isn't new when it is whole again
		v.new.Keys = append(v.new.Keys, v.old.Keys...).sorted()
	}
	if !s.test && m.has(repopeft.Call) {
		v.new.Names = definitions(s.outline)
	}
	return ""
}

// paperVersion returns the assertions of a file by the paper's commit extractor.
func paperVersion(raw []byte) ([]item, dataset.Reason) {
	text := paperText(raw)
	if strings.IndexByte(text, 0) >= 0 {
		return nil, dataset.Binary
	}
	parts, o, err := syntax.AssertionParts([]byte(text))
	if err != nil || o.Errors > 0 {
		return nil, dataset.Unparsable
	}
	lines := pythonLines(text)
	var items []item
	for i := range parts {
		if it, ok := paperCommit(text, lines, &parts[i], o); ok {
			items = append(items, it)
		}
	}
	for i, id := range paperKeys(text, items) {
		items[i].key.id = id
	}
	return items, ""
}

// events leaves in each version what is new in it, and counts it.
func (m *history) events(versions []version) (added, modified int) {
	gone := map[uint64]bool{} // ids that files had before this commit, and have no more
	if m.Profile == Strict {
		for _, v := range versions {
			for _, k := range v.old.keys() {
				if !v.new.has(k.id) {
					gone[k.id] = true
				}
			}
		}
	}
	for i := range versions {
		v := &versions[i]
		heads, targets := map[uint64]bool{}, map[uint64]bool{} // of what is gone from this file
		for _, k := range v.old.keys() {
			if gone[k.id] && !v.new.has(k.id) {
				heads[k.head], targets[k.target] = true, true
			}
		}
		var own []string
		if v.old != nil {
			own = v.old.Names
		}
		v.items = slices.DeleteFunc(v.items, func(it item) bool {
			if v.old.has(it.key.id) {
				return true
			}
			if it.reason == "" && gone[it.key.id] {
				it.reason = reasonMoved
			}
			if it.reason == "" && it.Kind == repopeft.Call && !m.defined[family(gitrepo.Language(v.path))].knows(it.name, own) {
				it.reason = reasonNotOfRepo
			}
			if it.reason != "" {
				m.state.Dropped.add(it.reason, 1)
			}
			return it.reason != ""
		})
		for j := range v.items {
			it := &v.items[j]
			it.Event = "added"
			if heads[it.key.head] || targets[it.key.target] {
				it.Event = "modified"
				modified++
			} else {
				added++
			}
		}
	}
	return added, modified
}

func (f *fileKeys) keys() keyList {
	if f == nil {
		return nil
	}
	return f.Keys
}

// capCommit applies the caps per function, file and commit, each kind on its
// own. A target is asked for once in a function.
func (m *history) capCommit(id string, versions []version) {
	chosen := make([][]item, len(versions))
	for _, kind := range m.Kinds {
		var ranks []uint64
		of := make([][]item, len(versions))
		for i, v := range versions {
			for _, it := range v.items {
				if it.Kind == kind {
					it.rank = hash(m.name, id, v.path, it.Class, it.Function, string(it.Kind), it.normalized)
					of[i] = append(of[i], it)
				}
			}
			of[i] = lowest(m.selectInFile(of[i], m.state.Dropped), m.PerCommitFile, reasonOverCFile, m.state.Dropped)
			for _, it := range of[i] {
				ranks = append(ranks, it.rank)
			}
		}
		if m.PerCommit > 0 && len(ranks) > m.PerCommit {
			m.state.Dropped.add(reasonOverCommit, len(ranks)-m.PerCommit)
			slices.Sort(ranks)
			for i := range of {
				of[i] = slices.DeleteFunc(of[i], func(it item) bool { return it.rank >= ranks[m.PerCommit] })
			}
		}
		for i := range of {
			chosen[i] = append(chosen[i], of[i]...)
		}
	}
	for i := range versions {
		versions[i].items = chosen[i]
		slices.SortFunc(versions[i].items, byPlace)
	}
}

// blobReason says why a blob is left out that could not be read, or "".
func blobReason(err error) dataset.Reason {
	switch {
	case errors.Is(err, gitrepo.ErrTooLarge):
		return dataset.FileTooLong
	case errors.Is(err, gitrepo.ErrMissingObject):
		return reasonMissing
	}
	return ""
}
