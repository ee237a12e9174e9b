package state

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childVar tells this test program what it does as a child of itself.
const childVar = "STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	role, where, child := strings.Cut(os.Getenv(childVar), " ")
	if !child {
		os.Exit(m.Run())
	}
	if err := map[string]func(string) error{"put": putForever, "share": share}[role](where); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child returns a command that does something to a store in its own process.
func child(t *testing.T, role, where string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childVar+"="+role+" "+where)
	return cmd
}

// numbered returns the data of the n-th state of putForever.
func numbered(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d,", n), 20_000)
}

// putForever replaces one state, from where it is, and says after each Put which
// it was.
func putForever(where string) error {
	ctx := context.Background()
	s, err := Open(ctx, where)
	if err != nil {
		return err
	}
	e, _, err := s.Has(ctx, key(1))
	if err != nil {
		return err
	}
	for n := e.Steps + 1; ; n++ {
		if err := s.Put(ctx, Entry{Key: key(1), Steps: n}, numbered(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// Processes that are killed while they put leave the last state that they
// reported, or the next one, whole.
func TestKilled(t *testing.T) {
	s := openTemp(t)
	mustPut(t, s, Entry{Key: key(0)}, []byte("bystander"))
	mustPut(t, s, Entry{Key: key(1)}, numbered(0))
	last := 0
	for round := range 25 {
		cmd := child(t, "put", s.objects.(*files).dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for killed := false; lines.Scan(); {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if !killed {
				killed = true
				time.AfterFunc(time.Duration(rand.IntN(8000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); stderr.Len() > 0 || err == nil {
			t.Fatalf("round %d: child ended by itself: %v, %s", round, err, &stderr)
		}
		e, data, err := s.Get(t.Context(), key(1))
		if err != nil || e.Steps != last && e.Steps != last+1 || !bytes.Equal(data, numbered(e.Steps)) {
			t.Fatalf("round %d: got state %d of %d bytes, %v, want %d or the next", round, e.Steps, len(data), err, last)
		}
		last = e.Steps
	}
	backdate(s, true)
	if n, _, err := s.Collect(t.Context(), func(Entry) bool { return true }); n != 0 || err != nil {
		t.Errorf("collect: got %d, %v", n, err)
	}
	left := 0
	err := s.objects.(*files).walk(t.Context(), "", func(o object, hidden bool) error {
		if hidden || strings.HasPrefix(o.name, "blobs/") || strings.HasPrefix(o.name, "entries/") {
			left++
		}
		return nil
	})
	if err != nil || left != 4 {
		t.Errorf("got %d files, %v, want two entries and two blobs", left, err)
	}
	for i, want := range [][]byte{[]byte("bystander"), numbered(last)} {
		if _, data, err := s.Get(t.Context(), key(i)); err != nil || !bytes.Equal(data, want) {
			t.Errorf("state %d: got %d bytes, %v", i, len(data), err)
		}
	}
}

// shared is how often each process of TestProcesses counts.
const shared = 40

// share counts in a state under its lock, and puts, reads and collects states
// of its own meanwhile, with collections that take everything for old.
func share(where string) error {
	ctx := context.Background()
	s, err := Open(ctx, where)
	if err != nil {
		return err
	}
	backdate(s, true)
	s.objects = unswept{s.objects}
	for i := range shared {
		if err := countOne(ctx, s); err != nil {
			return fmt.Errorf("count %d: %w", i, err)
		}
		own := Key{repoB, fmt.Sprint("own ", os.Getpid()), modelB}
		data := fmt.Appendf(nil, "%d", i%3) // often what the other process also has
		if err := s.Put(ctx, Entry{Key: own, Steps: i}, data); err != nil {
			return err
		}
		if e, got, err := s.Get(ctx, own); err != nil || e.Steps != i || !bytes.Equal(got, data) {
			return fmt.Errorf("own state %d: got %d, %q, %w", i, e.Steps, got, err)
		}
		if _, err := s.List(ctx, "", ""); err != nil {
			return err
		}
		if i%4 == 0 {
			if _, _, err := s.Collect(ctx, func(Entry) bool { return true }); err != nil {
				return err
			}
		}
	}
	return s.Close()
}

// unswept doesn't remove temporary files, which are in use where everything is
// taken for old.
type unswept struct{ objects }

func (unswept) sweep(context.Context, time.Time) error { return nil }

func countOne(ctx context.Context, s *Store) error {
	unlock, err := s.Lock(ctx, repoA, modelA)
	if err != nil {
		return err
	}
	defer unlock()
	e, data, err := s.Get(ctx, key(1))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if len(data) != e.Steps {
		return fmt.Errorf("%d bytes in state %d", len(data), e.Steps)
	}
	return s.Put(ctx, Entry{Key: key(1), Steps: e.Steps + 1}, append(data, 'x'))
}

// Two processes on one store lose nothing of each other.
func TestProcesses(t *testing.T) {
	s := openTemp(t)
	var running []*exec.Cmd
	var stderr [2]bytes.Buffer
	for i := range stderr {
		cmd := child(t, "share", s.objects.(*files).dir)
		cmd.Stderr = &stderr[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for i, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v: %s", i, err, &stderr[i])
		}
	}
	e, data, err := s.Get(t.Context(), key(1))
	if err != nil || e.Steps != 2*shared || len(data) != 2*shared {
		t.Errorf("got %d, %d bytes, %v, want %d", e.Steps, len(data), err, 2*shared)
	}
	if list, err := s.List(t.Context(), "", ""); len(list) != 3 || err != nil {
		t.Errorf("got %v, %v, want the counter and a state of each process", keysOf(list), err)
	}
}
