package engine

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed is returned by a [Scheduler] that has been closed.
var ErrClosed = errors.New("the scheduler is closed")

// Scheduler decodes requests together that come one by one: each joins the
// others before their next pass, and leaves when it is done. Its methods may be
// called concurrently.
type Scheduler struct {
	e     *Engine
	most  int
	queue chan *waiting
	quit  chan struct{}
	ended chan struct{}
	close sync.Once
}

// waiting is a request on its way through a scheduler.
type waiting struct {
	*sequence
	answer chan Result
}

// NewScheduler starts a scheduler that decodes at most most requests at a time;
// others wait in the order in which they came. It runs until it is closed.
func (e *Engine) NewScheduler(most int) *Scheduler {
	s := &Scheduler{e: e, most: max(1, most), queue: make(chan *waiting), quit: make(chan struct{}), ended: make(chan struct{})}
	go s.run()
	return s
}

// Do serves a request, together with those of other calls. Emit is called by
// the scheduler.
func (s *Scheduler) Do(ctx context.Context, r Request) (*Completion, error) {
	w := &waiting{s.e.newSequence(ctx, r), make(chan Result, 1)}
	if w.done {
		return nil, w.result.Err
	}
	select {
	case s.queue <- w:
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	case <-s.quit:
		return nil, ErrClosed
	}
	res := <-w.answer
	return res.Completion, res.Err
}

// Close refuses further requests, and returns when those that are being
// decoded are done.
func (s *Scheduler) Close() {
	s.close.Do(func() { close(s.quit) })
	<-s.ended
}

func (s *Scheduler) run() {
	defer close(s.ended)
	b := batch{e: s.e}
	var active []*waiting
	open := true
	for open || len(active) > 0 {
		for open && len(active) < s.most {
			w, ok := s.next(len(active) == 0)
			if w == nil {
				open = ok
				break
			}
			b.add(w.sequence)
			active = append(active, w)
		}
		b.step()
		rest := active[:0]
		for _, w := range active {
			if w.done {
				w.answer <- w.result
			} else {
				rest = append(rest, w)
			}
		}
		clear(active[len(rest):])
		active = rest
	}
}

// next returns a request that waits, or nil if there is none; with wait it
// waits for one. It is not ok when the scheduler has been closed.
func (s *Scheduler) next(wait bool) (w *waiting, ok bool) {
	select {
	case <-s.quit:
		return nil, false
	default:
	}
	if wait {
		select {
		case w = <-s.queue:
			return w, true
		case <-s.quit:
			return nil, false
		}
	}
	select {
	case w = <-s.queue:
		return w, true
	default:
		return nil, true
	}
}
