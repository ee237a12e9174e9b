package repopeft

import (
	"cmp"
	"slices"

	"github.com/code2lora/code2lora/internal/dataset"
)

// Documents joins the tasks of each file at each commit to documents, so that
// training reads a file once and is asked at every target. The prefix of a task
// has to be the file's text from its beginning to the target; skipped counts
// the tasks for which it isn't, such as those with excerpts or with a rewritten
// line. The text of a document ends with its last target.
//
// Targets of a document don't overlap. Where those of tasks do, as a call in a
// line that is itself asked for, the file makes several documents.
//
// Documents come in the order of the first task of each file.
func Documents(tasks []*Task) (documents []*dataset.Document, skipped int) {
	type file struct{ repository, commit, path string }
	byFile := map[file][]*Task{}
	var order []file
	for _, t := range tasks {
		if len(t.Prefix) != t.Start || len(t.Target) != t.End-t.Start || t.Target == "" {
			skipped++
			continue
		}
		f := file{t.Repository, t.Commit, t.File}
		if byFile[f] == nil {
			order = append(order, f)
		}
		byFile[f] = append(byFile[f], t)
	}
	for _, f := range order {
		docs, n := documentsOfFile(byFile[f])
		documents, skipped = append(documents, docs...), skipped+n
	}
	return documents, skipped
}

// documentsOfFile makes the documents of a file from tasks whose prefixes are
// as long as they should be.
func documentsOfFile(tasks []*Task) (documents []*dataset.Document, skipped int) {
	slices.SortStableFunc(tasks, func(a, b *Task) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End))
	})
	last := slices.MaxFunc(tasks, func(a, b *Task) int { return cmp.Compare(a.End, b.End) })
	text := last.Prefix + last.Target
	imports := dataset.Span{}
	if last.Language == "python" {
		imports = dataset.Imports(text)
	}
	for _, t := range tasks {
		if text[:t.Start] != t.Prefix || text[t.Start:t.End] != t.Target {
			skipped++
			continue
		}
		// Tasks come by their beginnings, so the first document that has ended
		// before this one has room for it.
		i := slices.IndexFunc(documents, func(d *dataset.Document) bool { return len(d.Text) <= t.Start })
		if i < 0 {
			i = len(documents)
			documents = append(documents, &dataset.Document{Repository: t.Repository, Commit: t.Commit, File: t.File})
		}
		d := documents[i]
		d.Text = text[:t.End]
		d.Tasks = append(d.Tasks, dataset.Target{
			Span: dataset.Span{Start: t.Start, End: t.End},
			Line: t.Line, Function: t.Function, Class: t.Class, Kind: cmp.Or(t.Family, string(t.Kind)),
		})
	}
	for _, d := range documents {
		d.Imports = dataset.Span{Start: min(imports.Start, len(d.Text)), End: min(imports.End, len(d.Text))}
	}
	return documents, skipped
}
