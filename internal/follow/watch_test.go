package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatch moves refs in the ways that git does, and waits for each.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  WatchOptions
	}{
		{"events", WatchOptions{Settle: 10 * time.Millisecond, Poll: time.Hour}},
		{"polling", WatchOptions{PollOnly: true, Poll: 20 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRepo(t)
			ids := r.commits("a")
			ctx, stop := context.WithCancel(t.Context())
			moved, failed, done := make(chan string, 100), make(chan error, 100), make(chan error)
			go func() {
				done <- Watch(ctx, open(t, r.dir), c.opt, func(id string) error { moved <- id; return nil }, func(err error) { failed <- err })
			}()
			want := func(what, id string) {
				t.Helper()
				for {
					select {
					case got := <-moved:
						if got == id { // steps on the way may have been seen too
							return
						}
					case err := <-failed:
						t.Fatalf("%s: %v", what, err)
					case <-time.After(20 * time.Second):
						t.Fatalf("%s: nothing came", what)
					}
				}
			}
			want("at first", ids[0])
			id := r.commits("b")[0]
			want("commit", id)
			r.git("pack-refs", "--all")
			id = r.commits("c")[0]
			want("after packing refs", id)
			r.git("checkout", "-q", "-b", "deep/er/branch")
			id = r.commits("d")[0]
			want("new folder of refs", id)
			r.git("checkout", "-q", "main~1")
			want("detached", r.git("rev-parse", "main~1"))
			r.git("checkout", "-q", "main")
			want("switch", r.git("rev-parse", "main"))
			r.git("reset", "-q", "--hard", ids[0])
			want("reset", ids[0])
			stop()
			if err := <-done; err != nil {
				t.Errorf("stopped: got %v", err)
			}
		})
	}
}

// TestWatchLinked watches a linked work tree, whose branch is in the git
// directory of another, and a ref that comes and goes.
func TestWatchLinked(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("a")
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "-b", "side", linked)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	moved, failed := make(chan string, 100), make(chan error, 100)
	go Watch(ctx, open(t, linked), WatchOptions{Settle: 10 * time.Millisecond, Poll: time.Hour},
		func(id string) error { moved <- id; return nil }, func(err error) { failed <- err })
	if got := <-moved; got != ids[0] {
		t.Errorf("got %s, want %s", got, ids[0])
	}
	if err := os.WriteFile(filepath.Join(linked, "b.py"), []byte("b = 1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	other := &repo{t: t, dir: linked, date: r.date}
	id := other.record("b")
	if got := <-moved; got != id {
		t.Errorf("got %s, want %s", got, id)
	}
	r.git("update-ref", "-d", "refs/heads/side")
	if err := <-failed; err == nil {
		t.Error("a ref that went away: want an error")
	}
	r.git("update-ref", "refs/heads/side", ids[0])
	if got := <-moved; got != ids[0] {
		t.Errorf("got %s, want %s", got, ids[0])
	}
}

// TestWatchRetries calls again what has failed, though the ref stays.
func TestWatchRetries(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("a")
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var calls, told int
	err := Watch(ctx, open(t, r.dir), WatchOptions{PollOnly: true, Poll: time.Millisecond}, func(id string) error {
		if calls++; calls < 3 {
			return errors.New("no room")
		}
		if id != ids[0] {
			t.Errorf("got %s, want %s", id, ids[0])
		}
		stop()
		return nil
	}, func(error) { told++ })
	if err != nil || calls != 3 || told != 1 {
		t.Errorf("got %d calls, %d of them told, %v; want 3, and the same error told once", calls, told, err)
	}
}

// TestWatchRestless looks at refs that never come to rest.
func TestWatchRestless(t *testing.T) {
	r := newRepo(t)
	ids := r.commits("ab")
	r.git("reset", "-q", "--hard", ids[0])
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var moved []string
	done := make(chan struct{})
	err := Watch(ctx, open(t, r.dir), WatchOptions{Settle: 100 * time.Millisecond, Poll: time.Hour}, func(id string) error {
		if moved = append(moved, id); len(moved) == 2 {
			stop()
			return nil
		}
		go func() {
			defer close(done)
			for file := filepath.Join(r.dir, ".git", "refs", "heads", "main"); ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
				_ = os.WriteFile(file, []byte(ids[1]+"\n"), 0o666)
			}
		}()
		return nil
	}, func(err error) { t.Log(err) })
	<-done
	if err != nil || len(moved) != 2 || moved[1] != ids[1] {
		t.Errorf("got %q, %v, want it to see %s", moved, err, ids[1])
	}
}
