package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/code2lora/code2lora/internal/compute"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// TestRoundTrip trains and evaluates through bytes: state, checkpoint and
// metrics must be those of a run in process, to the bit.
func TestRoundTrip(t *testing.T) {
	want := t.TempDir()
	if err := do(context.Background(), newRun(t, options()), want, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := newRun(t, options())
	r.Base = compute.RoundTrip{Backend: r.Base}
	if err := do(context.Background(), r, dir, nil); err != nil {
		t.Fatal(err)
	}
	sameContents(t, dir, want)
}

// TestPools trains over one and over three backends, in parts: the number of
// backends must not show.
func TestPools(t *testing.T) {
	var want string
	for _, n := range []int{1, 3} {
		r, dir := newRun(t, options()), t.TempDir()
		var backends []compute.Backend
		for range n {
			backends = append(backends, compute.RoundTrip{Backend: r.Base})
		}
		p, err := compute.NewPool(24, backends...)
		if err != nil {
			t.Fatal(err)
		}
		r.Base = p
		if err := do(context.Background(), r, dir, nil); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = dir
		}
		sameContents(t, dir, want)
	}
}

func sameContents(t *testing.T, dir, want string) {
	t.Helper()
	a, b := contents(t, dir), contents(t, want)
	for name := range b {
		if a[name] != b[name] {
			t.Errorf("%s: another content", name)
		}
	}
}

// stranger is a backend with another base or precision.
type stranger struct {
	compute.Backend
	change func(*compute.Info)
}

func (s stranger) Info() compute.Info {
	i := s.Backend.Info()
	s.change(&i)
	return i
}

func TestJobBackend(t *testing.T) {
	c, d := workshop(t)
	local := &compute.Local{Model: d.Model, Base: d.Base.SHA256}
	run := func(b compute.Backend) error {
		d.Backend = b
		j, err := NewJob(context.Background(), c, d)
		if err != nil {
			return err
		}
		return j.Do(context.Background(), func(Progress) {})
	}
	if err := run(stranger{local, func(i *compute.Info) { i.Base = "ef01" }}); !errors.Is(err, compute.ErrBase) {
		t.Errorf("another base: got error %v, want %v", err, compute.ErrBase)
	}
	if err := run(stranger{local, func(i *compute.Info) { i.Precision = kernel.Int8 }}); !errors.Is(err, compute.ErrPrecision) {
		t.Errorf("another precision: got error %v, want %v", err, compute.ErrPrecision)
	}
	if err := run(compute.RoundTrip{Backend: local}); err != nil {
		t.Errorf("the same: %v", err)
	}
}

// Variables of the process that [TestKilled] starts.
const (
	killFolder = "CODE2LORA_TEST_KILL_FOLDER"
	killAt     = "CODE2LORA_TEST_KILL_AT" // number of the event that kills
)

// fatal is a backend that calls event before and after each request.
type fatal struct {
	compute.Backend
	event func()
}

func (f fatal) Do(ctx context.Context, r *compute.Request) (*compute.Response, error) {
	f.event()
	defer f.event()
	return f.Backend.Do(ctx, r)
}

// TestKilledProcess is no test but the process of [TestKilled]. It trains, and
// kills itself at an event: before or after a request, before or after the best
// head is written, or after a line of metrics.
func TestKilledProcess(t *testing.T) {
	dir := os.Getenv(killFolder)
	if dir == "" {
		t.Skip("only as a process of TestKilled")
	}
	var at, n int64
	if _, err := fmt.Sscan(os.Getenv(killAt), &at); err != nil {
		t.Fatal(err)
	}
	event := func() {
		if atomic.AddInt64(&n, 1) == at {
			p, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = p.Kill()
			}
			if err != nil {
				panic(err)
			}
			select {}
		}
	}
	r := newRun(t, options())
	r.Base = fatal{r.Base, event}
	best := func(Progress) error {
		event()
		defer event()
		return hypernet.Save(filepath.Join(dir, CheckpointFile), r.Checkpoint(hypernet.Info{Name: "test"}), safetensors.F16)
	}
	if err := r.Do(context.Background(), dir, filepath.Join(dir, metricsFile), best, func(Progress) { event() }); err != nil {
		t.Fatal(err)
	}
}

// TestKilled kills training processes at random events until one gets to the
// end, and compares what they leave with a run that was not killed.
func TestKilled(t *testing.T) {
	want := t.TempDir()
	if err := do(context.Background(), newRun(t, options()), want, nil); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for round := range 2 {
		dir, kills := t.TempDir(), 0
		for {
			at := 1 + rng.IntN(60)
			if kills >= 6 {
				at = 1 << 30
			}
			c := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
			c.Env = append(os.Environ(), killFolder+"="+dir, fmt.Sprintf("%s=%d", killAt, at))
			out, err := c.CombinedOutput()
			if err == nil {
				break
			}
			// Windows has an exit code for killed processes too.
			if code := c.ProcessState.ExitCode(); code > 0 && (runtime.GOOS != "windows" || kills >= 6) {
				t.Fatalf("round %d, after %d kills: exit code %d:\n%s", round, kills, code, out)
			}
			kills++
		}
		if kills == 0 {
			t.Errorf("round %d: no process was killed", round)
		}
		sameContents(t, dir, want)
	}
}
