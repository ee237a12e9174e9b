package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
)

// plain returns an engine that takes no short cuts.
func plain(e *Engine) *Engine {
	return &Engine{Model: e.Model, Tokenizer: e.Tokenizer, CacheBytes: -1}
}

// answer is what must not depend on how a completion came about.
func answer(c *Completion) Completion {
	a := *c
	a.CachedTokens, a.Drafted, a.Accepted = 0, 0, 0
	return a
}

// alone serves a request without anything that makes it fast.
func alone(t *testing.T, e *Engine, r Request) Completion {
	t.Helper()
	r.Options.NoLookup, r.Index = true, nil
	c, err := plain(e).Do(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer(c)
}

func handle(t *testing.T, e *Engine, a *adapter.Adapter) *Handle {
	t.Helper()
	h, err := e.Handle(a)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// seeded is a random adapter for all projections.
func seeded(e *Engine, seed uint64) *adapter.Adapter {
	var all []adapter.Module
	for m := range adapter.NumModules {
		all = append(all, m)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	a := adapter.New(e.Model.Config.Dims(), all, 3, 6, false)
	for _, p := range a.Pairs() {
		for _, f := range [2][]float32{p.A, p.B} {
			for i := range f {
				f[i] = float32(rng.NormFloat64() * 0.2)
			}
		}
	}
	return a
}

// requests are of all kinds: long and short prompts, repetitive ones, four
// adapters, of which two have the same content, and the base.
func requests(t *testing.T, e *Engine, n int) []Request {
	handles := []*Handle{nil, handle(t, e, seeded(e, 1)), handle(t, e, seeded(e, 2)), handle(t, e, seeded(e, 3)), handle(t, e, seeded(e, 1))}
	var rs []Request
	for i := range n {
		r := Request{Adapter: handles[i*3%len(handles)], Options: Options{MaxTokens: 5 + i*7%20}}
		r.Prompt.Prefix = strings.Repeat(code[:10+i%3*10], 1+i%4) + fmt.Sprint(i/2)
		if i%3 == 1 {
			r.Options.Temperature, r.Options.TopK, r.Options.Seed = 1.5, 20, uint64(i)
		}
		if i%4 == 2 {
			r.Options.Stop = []string{"a", "="}
		}
		if i%5 == 3 {
			r.Prompt.Suffix = "\n    return 1\n"
		}
		rs = append(rs, r)
	}
	return rs
}

func setPrecision(t *testing.T, p kernel.Precision) {
	t.Helper()
	was := kernel.CurrentPrecision()
	if err := kernel.SetPrecision(p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kernel.SetPrecision(was) })
}

// TestBatch demands of requests decoded together, with prompts in pieces,
// a prompt cache and drafts, what each gets alone, bit for bit.
func TestBatch(t *testing.T) {
	defer func(n int) { passRows = n }(passRows)
	for _, p := range []kernel.Precision{kernel.Float32, kernel.Int8} {
		for _, name := range []string{"tiny-llama", "tiny-qwen2"} {
			t.Run(fmt.Sprint(name, " ", p), func(t *testing.T) {
				setPrecision(t, p)
				e := load(t, name)
				rs := requests(t, e, 12)
				for _, passRows = range []int{512, 20, 3} {
					for round := range 2 { // the second finds all prompts in the cache
						cached := 0
						for i, res := range e.CompleteBatch(context.Background(), rs) {
							if res.Err != nil {
								t.Fatalf("request %d: %v", i, res.Err)
							}
							cached += res.Completion.CachedTokens
							if got, want := answer(res.Completion), alone(t, e, rs[i]); !reflect.DeepEqual(got, want) {
								t.Errorf("%d rows, round %d, request %d: got %+v, alone %+v", passRows, round, i, got, want)
							}
						}
						if cached == 0 && round > 0 {
							t.Errorf("%d rows, round %d: nothing came from the prompt cache", passRows, round)
						}
					}
				}
			})
		}
	}
}

// TestBatchErrors checks that requests fail on their own.
func TestBatchErrors(t *testing.T) {
	e := random(t, letters(t, nil))
	closed := errors.New("closed")
	ctx, cancel := context.WithCancel(context.Background())
	pieces := 0
	rs := []Request{
		{Prompt: Prompt{Prefix: "abc"}, Options: Options{MaxTokens: 12}},
		{Prompt: Prompt{Prefix: "abc"}, Options: Options{}},
		{Prompt: Prompt{}, Options: Options{MaxTokens: 4}},
		{Prompt: Prompt{Prefix: "xyz"}, Options: Options{MaxTokens: 12}, Emit: func(string) error { return closed }},
		{Prompt: Prompt{Prefix: "xyz"}, Options: Options{MaxTokens: 12}, Context: ctx, Emit: func(string) error {
			if pieces++; pieces == 3 {
				cancel()
			}
			return nil
		}},
		{Prompt: Prompt{Prefix: "q"}, Options: Options{MaxTokens: 30}},
	}
	res := e.CompleteBatch(context.Background(), rs)
	for i, want := range []string{"", "max tokens 0", "empty prompt", "closed", "canceled", ""} {
		err := res[i].Err
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || (err == nil) != (res[i].Completion != nil) {
			t.Errorf("request %d: got %+v, want error %q", i, res[i], want)
		}
		if err == nil {
			if got, want := answer(res[i].Completion), alone(t, e, rs[i]); !reflect.DeepEqual(got, want) {
				t.Errorf("request %d beside failing ones: got %+v, alone %+v", i, got, want)
			}
		}
	}
	if pieces != 3 {
		t.Errorf("%d pieces, want none after the context ended", pieces)
	}
	for i, r := range e.CompleteBatch(ctx, rs[:1]) {
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("request %d of a cancelled call: got %v", i, r.Err)
		}
	}
	if got := e.CompleteBatch(ctx, nil); len(got) != 0 {
		t.Errorf("no requests: got %d results", len(got))
	}
}

// TestScheduler lets requests come from several goroutines, to more at a time
// than it decodes, and some give up.
func TestScheduler(t *testing.T) {
	e := load(t, "tiny-llama")
	rs := requests(t, e, 10)
	var want []Completion
	for _, r := range rs {
		want = append(want, alone(t, e, r))
	}
	s := e.NewScheduler(3)
	var all sync.WaitGroup
	for i := range 3 * len(rs) {
		all.Go(func() {
			r, w := rs[i%len(rs)], want[i%len(rs)]
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%7 == 6 {
				r.Emit = func(string) error { cancel(); return nil }
			}
			c, err := s.Do(ctx, r)
			switch {
			case errors.Is(err, context.Canceled) && i%7 == 6:
			case err != nil:
				t.Errorf("request %d: %v", i, err)
			case !reflect.DeepEqual(answer(c), w):
				t.Errorf("request %d: got %+v, alone %+v", i, answer(c), w)
			}
		})
	}
	all.Wait()
	if _, err := s.Do(context.Background(), Request{}); err == nil || !strings.Contains(err.Error(), "max tokens") {
		t.Errorf("bad options: got %v", err)
	}
	s.Close()
	s.Close()
	if _, err := s.Do(context.Background(), rs[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, ErrClosed)
	}
}

// TestSchedulerClose closes while requests are being decoded: they are served.
func TestSchedulerClose(t *testing.T) {
	e := random(t, letters(t, nil))
	s := e.NewScheduler(0) // means 1
	begun, end := make(chan struct{}), make(chan error)
	var once sync.Once
	go func() {
		_, err := s.Do(context.Background(), Request{Prompt: Prompt{Prefix: "a"}, Options: Options{MaxTokens: 20},
			Emit: func(string) error { once.Do(func() { close(begun) }); return nil }})
		end <- err
	}()
	<-begun
	s.Close()
	if err := <-end; err != nil {
		t.Errorf("the request under way got %v", err)
	}
}
