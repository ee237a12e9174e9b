package mine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// merge makes a benchmark of the shards of all repositories.
type merge struct {
	Options
	repos    []*mined
	manifest *repopeft.Manifest

	holder map[uint64]int   // file contents: the repository that keeps them
	near   map[taskKey]bool // tasks that go
}

// write decides what goes, and writes the rest.
func (m *merge) write(ctx context.Context) (err error) {
	if m.Profile == Strict {
		if err := m.compare(ctx); err != nil {
			return err
		}
	}
	w, err := repopeft.NewWriter(m.Dir)
	if err != nil {
		return err
	}
	defer w.Discard()
	random := newPyRandom(paperSeed)
	for i, r := range m.repos {
		info := repopeft.Repository{Name: r.name, Commit: r.commit, URL: r.url, Licence: r.licence,
			Tracks: map[repopeft.Track]repopeft.Counts{}, Skipped: counter{}}
		if !r.root.Time.IsZero() {
			info.FirstCommit = r.root.Time.Format(time.RFC3339)
		}
		seen := map[string]bool{}
		if r.static != nil {
			if err := m.repository(ctx, w, i, r.static, repopeft.Static, &info, seen, &random); err != nil {
				return err
			}
		}
		if r.history != nil {
			if err := m.repository(ctx, w, i, r.history, r.track, &info, seen, &random); err != nil {
				return err
			}
		}
		m.manifest.Repositories = append(m.manifest.Repositories, info)
	}
	return w.Close(m.manifest)
}

// repository writes a shard of the i-th repository.
func (m *merge) repository(ctx context.Context, w *repopeft.Writer, i int, s *shard, track repopeft.Track, info *repopeft.Repository, seen map[string]bool, random *pyRandom) error {
	dropped := counter{}
	dropped.addAll(s.state.Dropped)
	for why, n := range s.state.Skipped {
		info.Skipped[why] += n
	}
	err := m.commits(ctx, i, s, track, dropped, func(c *repopeft.Commit, rows []row) error {
		if c != nil {
			if err := w.WriteCommit(c); err != nil {
				return err
			}
		}
		if m.Profile == Paper && c != nil {
			rows = capPaper(c, rows, random, dropped)
		}
		for _, r := range rows {
			t := &r.task
			switch {
			case r.copied:
				dropped.add(reasonVendoredCopy, 1)
			case m.near[taskKey{track, t.ID}]:
				dropped.add(reasonNear, 1)
			case seen[t.ID]:
				dropped.add(reasonTwice, 1)
			default:
				seen[t.ID] = true
				if err := w.WriteTask(t); err != nil {
					return err
				}
			}
		}
		return nil
	})
	counts := repopeft.Counts{}
	if len(dropped) > 0 {
		counts.Dropped = dropped
	}
	info.Tracks[track] = counts
	return err
}

// row is a task on its way.
type row struct {
	task   repopeft.Task
	copied bool // another repository keeps the file
}

// commits passes the commits of a shard to fn, with their tasks; nil for the
// commit of the static track.
func (m *merge) commits(ctx context.Context, i int, s *shard, track repopeft.Track, dropped counter, fn func(*repopeft.Commit, []row) error) error {
	r := m.repos[i]
	split := dataset.SplitOf(r.name)
	if track == repopeft.Static && m.MinTasks > 0 {
		n := 0
		err := s.each(func(_ *commit, docs []*document) error {
			for _, d := range docs {
				n += len(d.Items)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n < m.MinTasks {
			dropped.add(dataset.Reason("repository has fewer than "+strconv.Itoa(m.MinTasks)+" tasks"), n)
			return nil
		}
	}
	taken := 0
	for _, unix := range s.state.Kept {
		if m.inDates(unix, track) {
			taken++
		}
	}
	index := 0
	return s.each(func(c *commit, docs []*document) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		base := repopeft.Task{Repository: r.name, Track: track, Split: split, Commit: c.ID, Parent: c.Parent}
		var out *repopeft.Commit
		if track == repopeft.Static {
			base.Parent = c.ID
		} else {
			if !m.inDates(c.Unix, track) {
				for _, d := range docs {
					dropped.add(reasonDate, len(d.Items))
				}
				return nil
			}
			base.CommitIndex, base.InRepo = index, chronological(index, taken)
			out = &repopeft.Commit{Repository: r.name, Track: track, Split: split, InRepo: base.InRepo, ID: c.ID, Parent: c.Parent,
				Index: index, Time: c.Time, Diff: c.Diff, Added: c.Added, Modified: c.Modified}
			index++
		}
		var rows []row
		for _, d := range docs {
			h, err := blobHash(d.Blob)
			if err != nil {
				return damaged(s.path, err)
			}
			holder, several := m.holder[h]
			for j := range d.Items {
				rows = append(rows, row{m.task(base, d, &d.Items[j]), several && holder != i})
			}
		}
		return fn(out, rows)
	})
}

// inDates tells whether a commit's date is one that tasks are taken from.
func (m *merge) inDates(unix int64, track repopeft.Track) bool {
	if track == repopeft.Static {
		return true
	}
	t := time.Unix(unix, 0)
	if !m.Since.IsZero() && t.Before(m.Since) {
		return false
	}
	return track == repopeft.OOD || m.Cutoff.IsZero() || t.Before(m.Cutoff)
}

// task completes a task from its item.
func (r Rules) task(t repopeft.Task, d *document, it *item) repopeft.Task {
	t.ID = repopeft.TaskID(t.Repository, t.Commit, d.File, it.Kind, it.Start, it.End)
	t.File, t.Language, t.Kind, t.Family = d.File, d.Language, it.Kind, it.Family
	t.Function, t.Class, t.Line, t.Start, t.End, t.Event = it.Function, it.Class, it.Line, it.Start, it.End, it.Event
	t.Target = it.target(d.Text)
	t.Difficulty = repopeft.DifficultyIn(d.Language, t.Target)
	if it.InRepo != "" {
		t.InRepo = it.InRepo
	}
	switch {
	case it.Prefix != nil:
		t.Prefix = *it.Prefix
	case it.Inline != nil:
		t.Prefix = d.Text[:it.Cut] + *it.Inline
	default:
		t.Prefix, t.Suffix = before(d.Text[:it.Start], r.MaxPrefixBytes), behind(d.Text[it.End:], r.MaxSuffixBytes)
	}
	return t
}

// chronological divides the kept commits of a repository in their order:
// 80 % train, 10 % validation, the rest test; fewer than 3 are all train
// (benchmark specification §7.4).
func chronological(i, n int) dataset.Split {
	if n < 3 {
		return dataset.Train
	}
	train, validation := max(1, n*8/10), max(1, n/10)
	if train+validation >= n {
		if validation > 1 {
			validation--
		} else {
			train--
		}
	}
	switch {
	case i < train:
		return dataset.Train
	case i < train+validation:
		return dataset.Validation
	}
	return dataset.Test
}

// compare finds the files that several repositories have, and the tasks that
// nearly equal one of another split.
func (m *merge) compare(ctx context.Context) error {
	if err := m.findHolders(ctx); err != nil {
		return err
	}
	if m.Near == 0 {
		return nil
	}
	var all []sketch
	short := 0
	err := m.eachRow(ctx, func(r *row) {
		if r.copied {
			return
		}
		if sig, ok := signatureOf(&r.task); ok {
			all = append(all, sketch{taskKey{r.task.Track, r.task.ID}, side(&r.task), sig})
		} else {
			short++
		}
	})
	if err != nil {
		return err
	}
	var counts repopeft.Near
	m.near, counts = nearDuplicates(all, m.Near)
	counts.TooShort = short
	m.manifest.Near = &counts
	return nil
}

// eachRow passes all tasks of all shards to fn.
func (m *merge) eachRow(ctx context.Context, fn func(*row)) error {
	for i, r := range m.repos {
		for _, s := range []struct {
			*shard
			track repopeft.Track
		}{{r.static, repopeft.Static}, {r.history, r.track}} {
			if s.shard == nil {
				continue
			}
			err := m.commits(ctx, i, s.shard, s.track, counter{}, func(_ *repopeft.Commit, rows []row) error {
				for j := range rows {
					fn(&rows[j])
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// findHolders decides for each file that several repositories have which of
// them keeps its tasks: of the test split before the validation split before
// the training split, then the first by name.
func (m *merge) findHolders(ctx context.Context) error {
	first := map[uint64]int{}
	m.holder = map[uint64]int{}
	order := make([]int, len(m.repos))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rankOf(m.repos[a].name) - rankOf(m.repos[b].name) })
	for _, i := range order {
		for _, s := range []*shard{m.repos[i].static, m.repos[i].history} {
			if s == nil {
				continue
			}
			err := s.each(func(_ *commit, docs []*document) error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				for _, d := range docs {
					h, err := blobHash(d.Blob)
					if err != nil {
						return damaged(s.path, err)
					}
					if at, ok := first[h]; !ok {
						first[h] = i
					} else if at != i {
						m.holder[h] = at
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// blobHash shortens the id of a blob.
func blobHash(id string) (uint64, error) {
	if len(id) < 16 {
		return 0, fmt.Errorf("blob id is %q, want 40 or 64 hexadecimal digits", id)
	}
	n, err := strconv.ParseUint(id[:16], 16, 64)
	if err != nil {
		return 0, fmt.Errorf("blob id is %q, want 40 or 64 hexadecimal digits", id)
	}
	return n, nil
}
