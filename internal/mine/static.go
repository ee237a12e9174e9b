package mine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/syntax"
)

// static mines a snapshot.
type static struct {
	Rules
	name  string
	blobs *gitrepo.Blobs
	state *state
}

// mineStatic makes the shard of a snapshot, or finds it.
func (r Rules) mineStatic(ctx context.Context, dir string, repo *gitrepo.Repo, name, commitID string) (*shard, error) {
	path := shardPath(dir, name, "static", commitID[:min(16, len(commitID))], r.digest())
	st, err := readState(path, name, r.digest())
	if err != nil {
		return nil, err
	}
	if st != nil && st.Finished && st.Commit == commitID {
		return &shard{path, st}, nil
	}
	st, docs, err := r.snapshot(ctx, repo, name, commitID)
	if err != nil {
		return nil, err
	}
	w, err := appendShard(path, 0)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.write(record{Commit: &commit{ID: commitID}}); err != nil {
		return nil, err
	}
	for _, d := range docs {
		if err := w.write(record{Document: d}); err != nil {
			return nil, err
		}
	}
	if err := w.save(st); err != nil {
		return nil, err
	}
	return &shard{path, st}, w.close()
}

// snapshot mines the documents of a commit.
func (r Rules) snapshot(ctx context.Context, repo *gitrepo.Repo, name, commitID string) (*state, []*document, error) {
	blobs, err := repo.Blobs(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer blobs.Close()
	m := &static{Rules: r, name: name, blobs: blobs,
		state: &state{Repository: name, Rules: r.digest(), Commit: commitID, Dropped: counter{}, Skipped: counter{}, Finished: true}}
	mine := m.strict
	if r.Profile == Paper {
		mine = m.paper
	}
	docs, err := mine(ctx, repo)
	return m.state, docs, err
}

// Tasks mines a repository at a commit, given by its full id, as [Run] does for
// the static track, and keeps nothing of it. They are in the order of files and of
// places in them; a repository may have none. Which of them the caps leave depends
// on the name of the repository and on what is asked, and not on the commit: tasks
// that two commits have are mostly chosen at both.
func (r Rules) Tasks(ctx context.Context, repo *gitrepo.Repo, commitID string) ([]*repopeft.Task, error) {
	name := repo.Name()
	_, docs, err := r.snapshot(ctx, repo, name, commitID)
	if err != nil {
		return nil, err
	}
	base := repopeft.Task{Repository: name, Track: repopeft.Static, Split: dataset.SplitOf(name), Commit: commitID, Parent: commitID}
	var tasks []*repopeft.Task
	for _, d := range docs {
		for i := range d.Items {
			t := r.task(base, d, &d.Items[i])
			tasks = append(tasks, &t)
		}
	}
	return tasks, nil
}

// found is a file with tasks, whose text is read again for those selected.
type found struct {
	gitrepo.File
	items []item
	own   []string // names it defines for others
}

// strict returns the documents of the strict profile, by path.
func (m *static) strict(ctx context.Context, repo *gitrepo.Repo) ([]*document, error) {
	snap, err := repo.Snapshot(ctx, m.state.Commit, gitrepo.Filter{Languages: m.Languages, MaxBytes: int64(m.MaxFileBytes)})
	if err != nil {
		return nil, err
	}
	for why, n := range snap.Counts() {
		if why != gitrepo.ReasonLanguage {
			m.state.Skipped["file is "+string(why)] += n
		}
	}
	var files []found
	defined := map[string]index{} // by language
	for _, f := range snap.Files {
		s, err := m.readFile(ctx, f)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		d := found{File: f, items: m.fit(m.candidates(s))}
		if !s.test && m.has(repopeft.Call) {
			d.own = definitions(s.outline)
			language := family(s.language)
			if defined[language] == nil {
				defined[language] = index{}
			}
			defined[language].add(d.own, 1)
		}
		if len(d.items) > 0 || d.own != nil {
			files = append(files, d)
		}
	}
	return m.documents(ctx, m.choose(files, defined))
}

// fit counts what makes no task, and returns the rest.
func (m *static) fit(items []item) []item {
	return slices.DeleteFunc(items, func(it item) bool {
		if it.reason != "" {
			m.state.Dropped.add(it.reason, 1)
		}
		return it.reason != ""
	})
}

// family returns the name under which the definitions of a language are known:
// JavaScript and TypeScript call each other.
func family(language string) string {
	if language == "javascript" {
		return "typescript"
	}
	return language
}

// readFile reads and parses a file; nil, and counted, if it can't be used.
func (m *static) readFile(ctx context.Context, f gitrepo.File) (*source, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	raw, reason, err := content(m.blobs, f.BlobID, m.MaxFileBytes)
	if err != nil {
		return nil, err
	}
	var s *source
	if reason == "" {
		s, reason = m.read(f.Path, raw)
	}
	if reason != "" {
		m.state.dropFile(reason)
		return nil, nil
	}
	if s.outline.Errors > 0 {
		m.state.Skipped["file with syntax errors, which was read around them"]++
	}
	return s, nil
}

// choose applies the rules about more than one file, and leaves the tasks that
// are taken.
func (m *static) choose(files []found, defined map[string]index) []found {
	for i := range files {
		f := &files[i]
		f.items = slices.DeleteFunc(f.items, func(it item) bool {
			if it.Kind != repopeft.Call || defined[family(f.Language)].knows(it.name, f.own) {
				return false
			}
			m.state.Dropped.add(reasonNotOfRepo, 1)
			return true
		})
	}
	chosen := make([][]item, len(files))
	for _, kind := range m.Kinds {
		of := make([]fileItems, len(files))
		for i, f := range files {
			of[i].file = f.Path
			for _, it := range f.items {
				if it.Kind == kind {
					of[i].items = append(of[i].items, it)
				}
			}
		}
		for i, f := range m.selectStrict(m.name, of, m.state.Dropped) {
			chosen[i] = append(chosen[i], f.items...)
		}
	}
	for i := range files {
		files[i].items = chosen[i]
		slices.SortFunc(files[i].items, byPlace)
	}
	return files
}

// documents reads the texts of files with tasks again.
func (m *static) documents(ctx context.Context, files []found) ([]*document, error) {
	var docs []*document
	for _, f := range files {
		if len(f.items) == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		raw, err := m.blobs.Read(f.BlobID, int64(m.MaxFileBytes))
		if err != nil {
			return nil, err
		}
		for i := range f.items {
			it := &f.items[i]
			it.InRepo = dataset.InRepoSplitOf(m.name, f.Path, it.Class, it.Function)
		}
		docs = append(docs, &document{File: f.Path, Language: f.Language, Blob: f.BlobID, Text: string(raw), Items: f.items})
	}
	return docs, nil
}

// content reads a blob; one that can't be used gives a reason.
func content(blobs *gitrepo.Blobs, id string, max int) ([]byte, dataset.Reason, error) {
	raw, err := blobs.Read(id, int64(max))
	switch reason := blobReason(err); {
	case reason != "":
		return nil, reason, nil
	case err != nil:
		return nil, "", err
	}
	return raw, "", nil
}

// paper returns the documents of the paper's snapshot extractor, by path:
// docs/benchmark.md, "paper". A repository's tests are found by the rule of
// [isPaperTest].
func (m *static) paper(ctx context.Context, repo *gitrepo.Repo) ([]*document, error) {
	snap, err := repo.Snapshot(ctx, m.state.Commit, gitrepo.Filter{MaxBytes: int64(m.MaxFileBytes), KeepVendored: true, KeepGenerated: true})
	if err != nil {
		return nil, err
	}
	var all []paperItem
	texts := map[string]gitrepo.File{}
	for _, f := range snap.Files {
		if skippedFolder(f.Path, skipStatic) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		raw, reason, err := content(m.blobs, f.BlobID, m.MaxFileBytes)
		if err != nil {
			return nil, err
		}
		var items []item
		if reason == "" {
			items, reason = m.paperSnapshot(f.Path, raw, m.state.Dropped)
		}
		if reason != "" {
			m.state.dropFile(reason)
		}
		for _, it := range items {
			all = append(all, paperItem{f.Path, it})
		}
		texts[f.Path] = f
	}
	all = selectPaper(all, m.Rules, m.state.Dropped)
	randomSides(all)
	return m.paperDocuments(all, texts)
}

// paperDocuments lays out the prefixes of the tasks that were taken.
func (m *static) paperDocuments(all []paperItem, files map[string]gitrepo.File) ([]*document, error) {
	byFile := map[string][]item{}
	for _, p := range all {
		byFile[p.file] = append(byFile[p.file], p.item)
	}
	var docs []*document
	for _, name := range sortedKeys(byFile) {
		f := files[name]
		raw, err := m.blobs.Read(f.BlobID, int64(m.MaxFileBytes))
		if err != nil {
			return nil, err
		}
		text := []byte(paperText(raw))
		var kept []item
		for _, it := range byFile[name] {
			prefix, err := dataset.StructuredPrefix(text, dataset.Task{File: name, Line: it.Line, Start: it.Start, End: it.End})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
			it.Prefix = &prefix
			kept = append(kept, it)
		}
		slices.SortFunc(kept, byPlace)
		docs = append(docs, &document{File: name, Language: "python", Blob: f.BlobID, Text: string(text), Items: kept})
	}
	return docs, nil
}

// paperSnapshot returns the tasks of a file by §3.1 and §5 of the benchmark's
// specification, in the order of the extractor, if the file is a test.
func (m *static) paperSnapshot(path string, raw []byte, dropped counter) ([]item, dataset.Reason) {
	text := paperText(raw)
	if strings.IndexByte(text, 0) >= 0 {
		return nil, dataset.Binary
	}
	if !isPaperTestCheap(path, text) && !strings.Contains(strings.ToLower(text), "test") {
		return nil, ""
	}
	parts, o, err := syntax.AssertionParts([]byte(text))
	if err != nil {
		return nil, dataset.Unparsable
	}
	if !isPaperTestCheap(path, text) && (o.Errors > 0 || !definesTest(o)) {
		return nil, ""
	}
	if o.Errors > 0 {
		return nil, dataset.Unparsable // as ast.parse would have it
	}
	var items []item
	for i := range parts {
		it, reason := paperStatic(text, &parts[i], o)
		if reason == "" {
			reason = m.paperReject(text, it)
		}
		if reason != "" {
			dropped.add(reason, 1)
			continue
		}
		items = append(items, it)
	}
	return items, ""
}
