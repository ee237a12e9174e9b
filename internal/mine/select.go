package mine

import (
	"cmp"
	"slices"

	"github.com/code2lora/code2lora/internal/dataset"
)

// fileItems are the tasks of one file.
type fileItems struct {
	file  string
	items []item
}

// selectStrict applies the rules of the strict profile to the tasks of one kind
// at a snapshot: a target is asked for once in a file; then the caps per
// function, file and repository, by a rank that looks random and that only the
// task itself decides on. A repository of few files gets more from each.
func (r Rules) selectStrict(repository string, files []fileItems, dropped counter) []fileItems {
	for i := range files {
		f := &files[i]
		for j := range f.items {
			it := &f.items[j]
			it.rank = hash(repository, f.file, it.Class, it.Function, string(it.Kind), it.normalized)
		}
		f.items = r.selectInFile(f.items, dropped)
	}
	perFile := r.fileCap(files)
	for i := range files {
		files[i].items = lowest(files[i].items, perFile, dataset.OverFile, dropped)
	}
	if r.PerRepository > 0 {
		var ranks []uint64
		for _, f := range files {
			for _, it := range f.items {
				ranks = append(ranks, it.rank)
			}
		}
		if len(ranks) > r.PerRepository {
			dropped.add(dataset.OverRepository, len(ranks)-r.PerRepository)
			slices.Sort(ranks)
			limit := ranks[r.PerRepository] // ranks are all different, but for a chance of 1 in 10^15
			for i := range files {
				files[i].items = slices.DeleteFunc(files[i].items, func(it item) bool { return it.rank >= limit })
			}
		}
	}
	return files
}

// selectInFile drops repeated targets and applies the cap per function.
func (r Rules) selectInFile(items []item, dropped counter) []item {
	order := slices.Clone(items)
	slices.SortStableFunc(order, func(a, b item) int { return cmp.Compare(a.rank, b.rank) })
	type function struct{ class, name string }
	inFunction := map[function]map[string]bool{}
	inFile := map[string]bool{}
	kept := order[:0]
	for _, it := range order {
		f := function{it.Class, it.Function}
		if inFunction[f] == nil {
			inFunction[f] = map[string]bool{}
		}
		switch {
		case inFunction[f][it.normalized]:
			dropped.add(dataset.Repeated, 1)
		case inFile[it.normalized]:
			dropped.add(dataset.RepeatedInFile, 1)
		case r.PerFunction > 0 && len(inFunction[f]) >= r.PerFunction:
			dropped.add(dataset.OverFunction, 1)
		default:
			inFunction[f][it.normalized], inFile[it.normalized] = true, true
			kept = append(kept, it)
		}
	}
	slices.SortFunc(kept, byPlace)
	return kept
}

// fileCap returns the cap per file: PerFile, or as much more as a repository of
// few files needs to reach PerRepository.
func (r Rules) fileCap(files []fileItems) int {
	n := r.PerFile
	if n == 0 || r.PerRepository == 0 {
		return n
	}
	for ; n < r.PerRepository; n++ {
		sum := 0
		for _, f := range files {
			sum += min(len(f.items), n)
		}
		if sum >= r.PerRepository {
			break
		}
	}
	return n
}

// lowest keeps the n items of the lowest ranks, in file order.
func lowest(items []item, n int, why dataset.Reason, dropped counter) []item {
	if n <= 0 || len(items) <= n {
		return items
	}
	dropped.add(why, len(items)-n)
	slices.SortFunc(items, func(a, b item) int { return cmp.Or(cmp.Compare(a.rank, b.rank), byPlace(a, b)) })
	items = items[:n]
	slices.SortFunc(items, byPlace)
	return items
}
