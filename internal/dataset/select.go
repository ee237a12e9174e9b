package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// selectInFile drops repeated targets and applies the cap per function.
func (o Options) selectInFile(doc *Document, stats *Stats) {
	type function struct{ class, name string }
	inFunction := map[function]map[string]bool{}
	inFile := map[string]int{}
	kept := doc.Tasks[:0]
	for _, t := range doc.Tasks {
		f, text := function{t.Class, t.Function}, normalize(doc.Text[t.Start:t.End])
		if inFunction[f] == nil {
			inFunction[f] = map[string]bool{}
		}
		switch {
		case inFunction[f][text]:
			stats.drop(Repeated, 1)
		case o.MaxRepeats > 0 && inFile[text] >= o.MaxRepeats:
			stats.drop(RepeatedInFile, 1)
		case o.PerFunction > 0 && len(inFunction[f]) >= o.PerFunction:
			stats.drop(OverFunction, 1)
		default:
			inFunction[f][text] = true
			inFile[text]++
			kept = append(kept, t)
		}
	}
	doc.Tasks = kept
}

// normalize makes targets equal that differ in spacing or quotes only.
func normalize(target string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(target), ""), "'", `"`)
}

// selectInRepository applies the caps per file and per repository: documents in
// an order that their paths decide on, until there are enough tasks. It returns
// them sorted by path.
func (o Options) selectInRepository(docs []*Document, stats *Stats) []*Document {
	slices.SortFunc(docs, func(a, b *Document) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), strings.Compare(a.File, b.File))
	})
	perFile := o.fileCap(docs)
	var kept []*Document
	tasks := 0
	for _, d := range docs {
		if n := len(d.Tasks); perFile > 0 && n > perFile {
			d.keep(perFile)
			stats.drop(OverFile, n-perFile)
		}
		if n := len(d.Tasks); o.PerRepository > 0 && n > o.PerRepository-tasks {
			d.keep(o.PerRepository - tasks)
			stats.drop(OverRepository, n-len(d.Tasks))
		}
		if len(d.Tasks) > 0 {
			tasks += len(d.Tasks)
			kept = append(kept, d)
		}
	}
	slices.SortFunc(kept, func(a, b *Document) int { return strings.Compare(a.File, b.File) })
	return kept
}

// fileCap returns the cap per file: PerFile, or as much more as a repository of
// few files needs to reach PerRepository.
func (o Options) fileCap(docs []*Document) int {
	perFile := o.PerFile
	if perFile == 0 || o.PerRepository == 0 {
		return perFile
	}
	for ; perFile < o.PerRepository; perFile++ {
		sum := 0
		for _, d := range docs {
			sum += min(len(d.Tasks), perFile)
		}
		if sum >= o.PerRepository {
			break
		}
	}
	return perFile
}

// keep leaves n neighbouring tasks, so that the document can be cut into few
// windows: whole functions from one that the path decides on, around the end of
// the file to its beginning.
func (d *Document) keep(n int) {
	if n <= 0 {
		d.Tasks = nil
		return
	}
	first := int(d.rank() % uint64(len(d.Tasks)))
	for first > 0 && d.Tasks[first-1].Function == d.Tasks[first].Function && d.Tasks[first-1].Class == d.Tasks[first].Class {
		first--
	}
	wrapped := max(0, first+n-len(d.Tasks))
	d.Tasks = slices.Concat(d.Tasks[:wrapped], d.Tasks[first:min(first+n, len(d.Tasks))])
}

// rank is a number that looks random and depends on the document's name alone.
func (d *Document) rank() uint64 {
	sum := sha256.Sum256([]byte(d.Repository + "/" + d.File))
	return binary.BigEndian.Uint64(sum[:])
}
