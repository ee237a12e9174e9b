package kernel

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParallelRunsEachOnce(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{1, 2, 3, 8} {
		SetThreads(threads)
		if got := Threads(); got != threads {
			t.Errorf("Threads is %d after SetThreads(%d)", got, threads)
		}
		for _, n := range []int{0, 1, 2, 3, 7, 8, 100, 1000} {
			for range 20 {
				count := make([]int32, n)
				Parallel(n, func(i int) { atomic.AddInt32(&count[i], 1) })
				for i, c := range count {
					if c != 1 {
						t.Fatalf("%d threads: f(%d) of %d ran %d times", threads, i, n, c)
					}
				}
			}
		}
	}
}

// TestParallelAsleep gives the workers time to fall asleep between jobs, which
// both threads are needed for.
func TestParallelAsleep(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2)
	for i := range 50 {
		time.Sleep(time.Duration(i%5) * 200 * time.Microsecond)
		var meet sync.WaitGroup
		meet.Add(2)
		Parallel(2, func(int) {
			meet.Done()
			meet.Wait() // ends only if each call has a thread of its own
		})
	}
}

func TestParallelNested(t *testing.T) {
	defer SetThreads(0)
	SetThreads(3)
	var sum atomic.Int64
	Parallel(10, func(i int) {
		last := -1
		Parallel(10, func(j int) { // in order, on this goroutine
			if j != last+1 {
				t.Errorf("index %d after %d", j, last)
			}
			last = j
			sum.Add(int64(10*i + j))
		})
	})
	if got := sum.Load(); got != 99*100/2 {
		t.Errorf("sum of indices is %d, want %d", got, 99*100/2)
	}
}

func TestParallelConcurrent(t *testing.T) {
	defer SetThreads(0)
	SetThreads(4)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				var n atomic.Int32
				Parallel(17, func(int) { n.Add(1) })
				if n.Load() != 17 {
					t.Errorf("%d of 17 indices have run at the end of Parallel", n.Load())
				}
			}
		})
	}
	for i := range 20 { // while jobs run
		SetThreads(1 + i%5)
	}
	all.Wait()
}

func TestParallelPanic(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2)
	for at := range 6 {
		func() {
			defer func() {
				if got := recover(); got != at {
					t.Errorf("panic in f(%d): recovered %v", at, got)
				}
			}()
			Parallel(6, func(i int) {
				if i == at {
					panic(i)
				}
			})
		}()
	}
	n := 0
	Parallel(1, func(int) { n++ })
	if n != 1 {
		t.Error("Parallel does nothing after a panic")
	}
}
