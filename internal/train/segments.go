package train

import (
	"math/rand/v2"
	"slices"

	"github.com/code2lora/code2lora/internal/evolve"
)

// segment is a stretch of one history: commits from..to−1.
type segment struct{ history, from, to int }

// segments cuts a history: after so many steps, and behind commits with tasks if
// the truncation says so. What comes after the last task is left out.
func segments(history int, h *History, o evolve.Truncation) (all []segment) {
	end := 0
	for i := range h.Commits {
		if len(h.Commits[i].Windows) > 0 {
			end = i + 1
		}
	}
	for from := 0; from < end; {
		to := from + 1
		for to < end && to-from < o.Steps && !(o.AtLoss && len(h.Commits[to-1].Windows) > 0) {
			to++
		}
		all = append(all, segment{history, from, to})
		from = to
	}
	return all
}

// turn is what a lane does in a step.
type turn struct {
	lane int
	segment
}

// schedule deals the segments of all histories to steps. The histories of an
// epoch are shuffled, and follow those of the epoch before; a lane that has
// finished its history goes on with the next. It depends on the data and the
// options alone.
type schedule struct {
	steps  [][]turn
	epochs []int // the latest epoch that each step has a history of
}

func newSchedule(hs []*History, o Options, t evolve.Truncation) *schedule {
	type entry struct {
		epoch    int
		segments []segment
	}
	var queue []entry
	for e := range o.Epochs {
		for _, i := range rand.New(rand.NewPCG(o.Seed, uint64(e)+1)).Perm(len(hs)) {
			if ss := segments(i, hs[i], t); len(ss) > 0 {
				queue = append(queue, entry{e, ss})
			}
		}
	}
	s := &schedule{}
	lanes := make([]entry, o.SharesPerStep)
	for {
		var step []turn
		epoch := 0
		for l := range lanes {
			if len(lanes[l].segments) == 0 && len(queue) > 0 {
				lanes[l], queue = queue[0], queue[1:]
			}
			if len(lanes[l].segments) == 0 {
				continue
			}
			step = append(step, turn{l, lanes[l].segments[0]})
			lanes[l].segments, epoch = lanes[l].segments[1:], max(epoch, lanes[l].epoch)
		}
		if len(step) == 0 {
			return s
		}
		s.steps, s.epochs = append(s.steps, step), append(s.epochs, epoch)
	}
}

// lossAt has the windows that are asked for at a commit of a segment.
type lossAt struct {
	commit  int // from the segment's first, 0
	windows []Window
}

// draw chooses what is asked for in each turn of a step. It depends on the seed
// and the step's number alone.
func (s *schedule) draw(step int, hs []*History, o Options, r *RecurrenceOptions) [][]lossAt {
	rng := rand.New(rand.NewPCG(o.Seed, 1<<32+uint64(step)))
	out := make([][]lossAt, len(s.steps[step]))
	for i, t := range s.steps[step] {
		out[i] = drawSegment(rng, hs[t.history].Commits[t.from:t.to], o.TokensPerShare, r)
	}
	return out
}

// drawSegment draws commits, and of each some windows, as long as there is room
// for their tokens.
func drawSegment(rng *rand.Rand, commits []HistoryCommit, room int, r *RecurrenceOptions) (out []lossAt) {
	var with []int
	for i := range commits {
		if len(commits[i].Windows) > 0 {
			with = append(with, i)
		}
	}
	rng.Shuffle(len(with), func(i, j int) { with[i], with[j] = with[j], with[i] })
	if r.LossCommits > 0 && len(with) > r.LossCommits {
		with = with[:r.LossCommits]
	}
	used := 0
	for _, i := range with {
		l, tasks := lossAt{commit: i}, 0
		ws := commits[i].Windows
		for _, k := range rng.Perm(len(ws)) {
			w := ws[k]
			if tasks == r.TasksPerCommit || used > 0 && used+len(w.Tokens) > room {
				continue
			}
			w.Tasks = w.Tasks[:min(len(w.Tasks), r.TasksPerCommit-tasks)]
			l.windows, tasks, used = append(l.windows, w), tasks+len(w.Tasks), used+len(w.Tokens)
		}
		if len(l.windows) > 0 {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b lossAt) int { return a.commit - b.commit })
	return out
}
