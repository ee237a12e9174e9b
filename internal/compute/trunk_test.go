package compute

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// spy counts what reaches a backend, and notes where the last request began.
type spy struct {
	*Local
	from, hidden int
}

func (s *spy) Do(ctx context.Context, r *Request) (*Response, error) {
	s.from = r.From
	return s.Local.Do(ctx, r)
}

func (s *spy) Hidden(ctx context.Context, seqs [][]int32, blocks int) ([][]float32, error) {
	s.hidden += len(seqs)
	return s.Model.Hidden(ctx, seqs, blocks)
}

// trunkRequests touch layers 2 and up.
func trunkRequests(m *model.Model) map[string]*Request {
	gradient := &Request{Base: "abcd", Operation: Gradient, Batch: randomBatch(m, 1, 2)}
	activations := &Request{Base: "abcd", Operation: Gradient, Options: model.GradientOptions{Activations: []int{2}}, Batch: randomBatch(m, 2, 3)}
	score := &Request{Base: "abcd", Operation: Score, Batch: randomBatch(m, 3, 2)}
	bare := &Request{Base: "abcd", Operation: Score, Batch: randomBatch(m, 1, 2)}
	bare.Adapters = nil
	for i := range bare.Sequences {
		bare.Sequences[i].Adapter = -1
	}
	return map[string]*Request{"gradient": gradient, "activations": activations, "score": score, "bare base": bare}
}

func newTrunk(t *testing.T, b *spy, dir string, most int64) *Trunk {
	t.Helper()
	trunk, err := NewTrunk(b, b, dir, 2, most, func(format string, args ...any) { t.Errorf(format, args...) })
	if err != nil {
		t.Fatal(err)
	}
	return trunk
}

// TestTrunk compares answers with and without, first computed, then read, also
// by a new process; bit for bit.
func TestTrunk(t *testing.T) {
	for _, p := range []kernel.Precision{kernel.Float32, kernel.BFloat16, kernel.Int8} {
		t.Run(p.String(), func(t *testing.T) {
			if err := kernel.SetPrecision(p); err != nil {
				t.Skip(err)
			}
			defer kernel.SetPrecision(kernel.Float32)
			b := &spy{Local: local(t)}
			dir := t.TempDir()
			trunk := newTrunk(t, b, dir, 1<<30)
			for name, r := range trunkRequests(b.Model) {
				r.Precision = p
				want := do(t, b.Local, r)
				for _, turn := range []string{"computed", "read", "read by another"} {
					if turn == "read by another" {
						trunk = newTrunk(t, b, dir, 1<<30)
					}
					b.hidden = 0
					got := do(t, trunk, r)
					if !equal(got, want) {
						t.Errorf("%s, %s: loss %v, want %v, and every bit the same", name, turn, got.Loss, want.Loss)
					}
					if b.from != 2 {
						t.Errorf("%s, %s: began at layer %d, want 2", name, turn, b.from)
					}
					if turn != "computed" && b.hidden > 0 {
						t.Errorf("%s, %s: %d sequences computed, want 0", name, turn, b.hidden)
					}
				}
			}
			if s := trunk.Stats(); s.Read == 0 || s.Computed != 0 {
				t.Errorf("another process: %+v, want everything read", s)
			}
		})
	}
}

// TestTrunkPasses has requests that a trunk cannot serve.
func TestTrunkPasses(t *testing.T) {
	b := &spy{Local: local(t)}
	trunk := newTrunk(t, b, t.TempDir(), 1<<30)
	for name, change := range map[string]func(*Request){
		"adapters below":       func(r *Request) { r.Adapters[1] = randomAdapter(b.Model, 5, 1, false) },
		"activation below":     func(r *Request) { r.Options.Activations = []int{1} },
		"hidden states inside": func(r *Request) { *r = *requests(b.Model)["upper layers"] },
	} {
		r := trunkRequests(b.Model)["gradient"]
		change(r)
		want := do(t, b.Local, r)
		if got := do(t, trunk, r); !equal(got, want) || b.from != r.From {
			t.Errorf("%s: another answer, or began at layer %d, want %d", name, b.from, r.From)
		}
	}
	for name, change := range map[string]func(*Request){
		"another base":  func(r *Request) { r.Base = "ef01" },
		"bad prefix":    func(r *Request) { r.Sequences[0].Prefix = 3 },
		"bad length":    func(r *Request) { r.Sequences[14].PrefixLen = 1 << 20 },
		"no such token": func(r *Request) { r.Sequences[1].Tokens[0] = vocab },
		"nil adapter":   func(r *Request) { r.Adapters = []*adapter.Adapter{nil, nil, nil} },
		"no sequences":  func(r *Request) { r.Sequences = nil },
	} {
		r := trunkRequests(b.Model)["gradient"]
		change(r)
		if _, err := trunk.Do(context.Background(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if s := trunk.Stats(); s != (TrunkStats{}) {
		t.Errorf("%+v, want nothing read or computed", s)
	}
}

// TestTrunkRoom bounds the folder, and checks that a second epoch finds what the
// first one kept.
func TestTrunkRoom(t *testing.T) {
	b, dir := &spy{Local: local(t)}, t.TempDir()
	const most = 14_000
	one := newTrunk(t, b, dir, most)
	r := trunkRequests(b.Model)["gradient"]
	do(t, one, r)
	first := one.Stats()
	if first.Kept == 0 || first.Kept >= first.Computed {
		t.Fatalf("%+v, want some of the tokens kept and not all", first)
	}
	b.hidden = 0
	do(t, one, r)
	if second := one.Stats(); second.Read != first.Kept {
		t.Errorf("second epoch: %d tokens read, want the %d that were kept", second.Read, first.Kept)
	}
	checkSize(t, dir, most)
	// A run with other data takes the room of this one.
	other := newTrunk(t, b, dir, most)
	do(t, other, trunkRequests(b.Model)["score"])
	if s := other.Stats(); s.Kept < first.Kept/2 {
		t.Errorf("another run kept %d tokens, the first one %d: want about as many", s.Kept, first.Kept)
	}
	checkSize(t, dir, most)
}

func checkSize(t *testing.T, dir string, most int64) {
	t.Helper()
	var total int64
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	if err != nil || total > most {
		t.Errorf("the files take %d bytes, want at most %d (%v)", total, most, err)
	}
}

// TestTrunkDamage damages every file: they are computed again.
func TestTrunkDamage(t *testing.T) {
	b, dir := &spy{Local: local(t)}, t.TempDir()
	r := trunkRequests(b.Model)["gradient"]
	want := do(t, newTrunk(t, b, dir, 1<<30), r)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			data[len(data)/2] ^= 1
		} else {
			data = data[:len(data)/2]
		}
		if err := os.WriteFile(f, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	trunk := newTrunk(t, b, dir, 1<<30)
	if !equal(do(t, trunk, r), want) {
		t.Error("damaged files change the answer")
	}
	if s := trunk.Stats(); s.Read != 0 {
		t.Errorf("%d tokens read from damaged files", s.Read)
	}
}

// TestTrunkUnwritable goes on without files, and says so once.
func TestTrunkUnwritable(t *testing.T) {
	b, dir := &spy{Local: local(t)}, filepath.Join(t.TempDir(), "trunk")
	var said []string
	trunk, err := NewTrunk(b, b, dir, 2, 1<<30, func(format string, args ...any) { said = append(said, format) })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o666); err != nil { // a file where the folder was
		t.Fatal(err)
	}
	r := trunkRequests(b.Model)["gradient"]
	if want := do(t, b.Local, r); !equal(do(t, trunk, r), want) {
		t.Error("without files: another answer")
	}
	if len(said) != 1 || !strings.Contains(said[0], "no more hidden states are kept") {
		t.Errorf("said %q, want once that nothing is kept", said)
	}
	for _, layer := range []int{0, 5} {
		if _, err := NewTrunk(b, b, t.TempDir(), layer, 1, nil); err == nil {
			t.Errorf("layer %d was accepted", layer)
		}
	}
}

func TestTrunkConcurrent(t *testing.T) {
	l := local(t)
	trunk, err := NewTrunk(l, l.Model, t.TempDir(), 2, 20_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := trunkRequests(l.Model)["score"]
	want := do(t, l, r)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := trunk.Do(context.Background(), r)
			if err != nil || !equal(got, want) {
				t.Errorf("at once: another answer (%v)", err)
			}
		})
	}
	wg.Wait()
}
