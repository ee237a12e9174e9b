package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// spinRounds is how often an idle worker looks for work before it sleeps:
// some tens of microseconds, about what waking a sleeping thread costs.
const spinRounds = 20000

// chunksPerThread is into how many pieces a thread's fair share is cut, so
// that a thread which was interrupted holds the others up by a piece at most.
const chunksPerThread = 8

// team is the pool that Parallel hands work to. The caller of Parallel works
// too, so n threads are n-1 workers.
type team struct {
	busy    sync.Mutex // held while a job runs; whoever fails to get it works alone
	threads int        // guarded by busy
	workers []*worker  // guarded by busy
	seq     uint64     // guarded by busy; number of the last job
	size    atomic.Int64
	current atomic.Pointer[job]
}

type worker struct {
	asleep atomic.Bool
	quit   atomic.Bool
	wake   chan struct{} // holds one token when asleep was cleared by someone else
}

type job struct {
	seq   uint64
	n     int64
	chunk int64
	f     func(int)
	next  atomic.Int64 // first index nobody has taken
	done  atomic.Int64 // indices that are finished
	fin   chan struct{}
	fail  atomic.Pointer[any] // first panic in f
}

var pool team

// Threads returns the number of threads that [Parallel] uses.
func Threads() int {
	if n := pool.size.Load(); n > 0 {
		return int(n)
	}
	return runtime.GOMAXPROCS(0)
}

// SetThreads sets the number of threads that [Parallel] uses, the caller
// included; n < 1 means GOMAXPROCS, which is also the default. It waits for
// a call of Parallel that is under way, so f must not call it.
func SetThreads(n int) {
	if n < 1 {
		n = runtime.GOMAXPROCS(0)
	}
	pool.busy.Lock()
	defer pool.busy.Unlock()
	pool.resize(n)
}

// resize starts or ends workers until there are n-1 of them.
func (p *team) resize(n int) {
	for len(p.workers) < n-1 {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		go p.serve(w, p.seq)
	}
	for len(p.workers) > n-1 {
		last := len(p.workers) - 1
		w := p.workers[last]
		p.workers[last] = nil
		p.workers = p.workers[:last]
		w.quit.Store(true)
		w.rouse()
	}
	p.threads = n
	p.size.Store(int64(n))
}

// Parallel calls f(0), ..., f(n-1), each once, on several threads, and returns
// when all have returned. Indices are handed out in chunks as threads become
// free, so f must write to places that depend on its index only.
//
// A call from within f, or while another goroutine is in Parallel, runs all of
// its indices in order on the calling goroutine. If f panics, the remaining
// indices may or may not run, and Parallel panics with the first value.
func Parallel(n int, f func(i int)) {
	if n <= 1 || Threads() == 1 || !pool.busy.TryLock() {
		for i := range n {
			f(i)
		}
		return
	}
	defer pool.busy.Unlock()
	if pool.threads == 0 {
		pool.resize(runtime.GOMAXPROCS(0))
	}
	pool.run(n, f)
}

// idle reports whether Parallel, called now, would get the workers. Another
// goroutine may change that at once, so it is a hint.
func (p *team) idle() bool { return p.current.Load() == nil }

// run is Parallel with the team to itself.
func (p *team) run(n int, f func(int)) {
	p.seq++
	j := &job{
		seq:   p.seq,
		n:     int64(n),
		chunk: max(1, int64(n/(p.threads*chunksPerThread))),
		f:     f,
		fin:   make(chan struct{}, 1),
	}
	p.current.Store(j)
	for i, w := range p.workers {
		if i+1 >= n {
			break // more workers than indices
		}
		w.rouse()
	}
	j.work()
	j.wait()
	p.current.Store(nil)
	if v := j.fail.Load(); v != nil {
		panic(*v)
	}
}

// rouse wakes w if it sleeps.
func (w *worker) rouse() {
	if w.asleep.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// serve is the life of a worker, which has seen jobs up to seen.
func (p *team) serve(w *worker, seen uint64) {
	fresh := func() *job {
		if j := p.current.Load(); j != nil && j.seq != seen {
			return j
		}
		return nil
	}
	for !w.quit.Load() {
		j := fresh()
		for range spinRounds {
			if j != nil || w.quit.Load() {
				break
			}
			j = fresh()
		}
		if j == nil {
			w.asleep.Store(true)
			// Look once more: who published a job before the line above
			// didn't see that this worker was about to sleep.
			if j = fresh(); j == nil && !w.quit.Load() || !w.asleep.CompareAndSwap(true, false) {
				<-w.wake
			}
			if j == nil {
				continue
			}
		}
		seen = j.seq
		j.work()
	}
}

// work takes chunks until none are left.
func (j *job) work() {
	for {
		lo := j.next.Add(j.chunk) - j.chunk
		if lo >= j.n {
			return
		}
		j.do(lo, min(lo+j.chunk, j.n))
	}
}

// do runs one chunk. The last chunk to end releases wait.
func (j *job) do(lo, hi int64) {
	defer func() {
		if v := recover(); v != nil {
			j.fail.CompareAndSwap(nil, &v)
		}
		if j.done.Add(hi-lo) == j.n {
			j.fin <- struct{}{}
		}
	}()
	for i := lo; i < hi; i++ {
		j.f(int(i))
	}
}

// wait returns when all chunks have ended.
func (j *job) wait() {
	for range spinRounds {
		if j.done.Load() == j.n {
			return
		}
	}
	<-j.fin
}
