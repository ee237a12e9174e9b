package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

const tiny = "../model/testdata/tiny-llama.gguf"

func TestSample(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   Sample
	}{
		{[]float64{3}, Sample{1, 3, 3, 3}},
		{[]float64{4, 1}, Sample{2, 2.5, 1, 4}},
		{[]float64{9, 1, 2}, Sample{3, 2, 1, 9}},
		{[]float64{5, 1, 2, 4}, Sample{4, 3, 1, 5}},
	} {
		given := slices.Clone(tt.values)
		if got := sample(tt.values); got != tt.want {
			t.Errorf("sample(%v): got %v, want %v", tt.values, got, tt.want)
		}
		if !slices.Equal(given, tt.values) {
			t.Errorf("sample changed %v to %v", given, tt.values)
		}
	}
}

func TestTurns(t *testing.T) {
	var order []string
	n := 0
	one := func(name string) run {
		return func(context.Context) (time.Duration, error) {
			order = append(order, name)
			n++
			return time.Duration(n) * time.Second, nil
		}
	}
	got, err := turns(context.Background(), 2, one("a"), one("b"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "ab ba ab"; want != strings.Join(order[:2], "")+" "+strings.Join(order[2:4], "")+" "+strings.Join(order[4:], "") {
		t.Errorf("order: got %v, want %s", order, want)
	}
	if want := [][]float64{{4, 5}, {3, 6}}; !reflect.DeepEqual(got, want) {
		t.Errorf("seconds: got %v, want %v without the first turn", got, want)
	}
	broken := errors.New("broken")
	if _, err := turns(context.Background(), 2, func(context.Context) (time.Duration, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("failing run: got error %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = turns(ctx, 9, func(context.Context) (time.Duration, error) { cancel(); return 0, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v, want %v", err, context.Canceled)
	}
}

func TestValidate(t *testing.T) {
	good := Options{Works: DefaultWorks(), Precisions: Precisions(), Rounds: 1,
		Peak: func(context.Context, Model, kernel.Precision) (int64, error) { return 0, nil }}
	for _, tt := range []struct {
		name   string
		change func(o *Options)
		want   string // part of the error; empty: none
	}{
		{"good", func(*Options) {}, ""},
		{"all works", func(o *Options) { o.Works = Works() }, ""},
		{"rounds", func(o *Options) { o.Rounds = 0 }, "rounds 0: want at least 1"},
		{"unknown work", func(o *Options) { o.Works = []string{Gemm, "sleep"} }, `work "sleep": want some of ["gemm" `},
		{"no peak", func(o *Options) { o.Peak = nil }, `work "memory": Peak is missing`},
		{"no works", func(o *Options) { o.Works = nil }, "no works"},
		{"no precision", func(o *Options) { o.Precisions = nil }, "no precision"},
		{"two things", func(o *Options) { o.Rounds, o.Works = -1, nil }, "rounds -1: want at least 1\nno works"},
	} {
		o := good
		tt.change(&o)
		err := o.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.want)
		}
		if _, runErr := Run(context.Background(), o); tt.want != "" && (runErr == nil || runErr.Error() != err.Error()) {
			t.Errorf("%s: Run: got error %v, want %v", tt.name, runErr, err)
		}
	}
}

// TestPrecisions relies on float32 being possible everywhere.
func TestPrecisions(t *testing.T) {
	was := kernel.CurrentPrecision()
	ps := Precisions()
	if len(ps) == 0 || ps[0] != kernel.Float32 {
		t.Errorf("precisions: got %v, want float32 first", ps)
	}
	if got := kernel.CurrentPrecision(); got != was {
		t.Errorf("precision in use: got %v, want %v as before", got, was)
	}
}

// TestRun measures a tiny model in every precision, and looks at everything but
// the speed.
func TestRun(t *testing.T) {
	was := kernel.CurrentPrecision()
	o := Options{
		Models: []Model{{"tiny", tiny}}, Works: DefaultWorks(), Precisions: Precisions(), Rounds: 1,
		Peak: func(_ context.Context, m Model, p kernel.Precision) (int64, error) {
			if m.Path != tiny || kernel.CurrentPrecision() != p {
				t.Errorf("peak of %v in %v while %v is in use", m, p, kernel.CurrentPrecision())
			}
			return 7e6, nil
		},
	}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := kernel.CurrentPrecision(); got != was {
		t.Errorf("precision after the run: got %v, want %v", got, was)
	}
	count := map[[2]string]int{}
	for _, f := range r.Figures {
		name := f.Work + " " + f.Variant + " " + f.Precision
		if f.Model == "" && f.Work == Gemm {
			count[[2]string{"roof", f.Precision}]++
			continue
		}
		count[[2]string{f.Work, f.Precision}]++
		if f.Model != "tiny" || f.N != 1 || !(f.Min > 0 && f.Min <= f.Median && f.Median <= f.Max) {
			t.Errorf("%s: got %+v, want one round of model tiny", name, f)
		}
		if l := f.Roofline; l != nil && math.Abs(l.Fraction*l.Limit-f.Median) > 1e-9*f.Median {
			t.Errorf("%s: reached %g of %g, want the median %g", name, l.Fraction, l.Limit, f.Median)
		}
		if f.Unit == "tokens/s" && f.Work != Lookup && r.Peak[f.Precision] > 0 && f.Roofline == nil {
			t.Errorf("%s: has no roofline", name)
		}
		if f.Work == Memory && f.Median != 7 {
			t.Errorf("memory: got %g MB, want 7", f.Median)
		}
	}
	for _, p := range o.Precisions {
		for work, want := range map[string]int{Train: 2, Score: 1, Prefill: 1, Decode: 1, Adapters: 4, Lookup: 3, Memory: 1} {
			if got := count[[2]string{work, p.String()}]; got != want {
				t.Errorf("figures of %s in %v: got %d, want %d", work, p, got, want)
			}
		}
	}
	if got := count[[2]string{Gemm, "float32"}]; got != 4 { // of seven matrices three pairs are alike
		t.Errorf("products in float32: got %d, want 4", got)
	}
	if got := count[[2]string{"roof", "float32"}]; got != 1 {
		t.Errorf("products of no model in float32: got %d, want 1", got)
	}
	if r.Bandwidth.N == 0 || !(r.Bandwidth.Min > 0) || !(r.Peak["float32"] > 0) {
		t.Errorf("roofs: got %v GB/s and %v GFLOP/s, want both", r.Bandwidth, r.Peak)
	}
}

func TestRunFails(t *testing.T) {
	good := Options{Models: []Model{{"tiny", tiny}}, Works: []string{Decode}, Precisions: []kernel.Precision{kernel.Float32}, Rounds: 1}
	broken := errors.New("broken")
	text := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(text, []byte("no model"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(o *Options)
		want   string
	}{
		{"no file", func(o *Options) { o.Models[0].Path = "missing.gguf" }, "missing.gguf"},
		{"no model", func(o *Options) { o.Models[0].Path = text }, "model.gguf"},
		{"peak", func(o *Options) {
			o.Works = []string{Memory}
			o.Peak = func(context.Context, Model, kernel.Precision) (int64, error) { return 0, broken }
		}, "tiny: precision float32: memory: broken"},
	} {
		o := good
		o.Models = slices.Clone(good.Models)
		tt.change(&o)
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v, want %v", err, context.Canceled)
	}
}

// TestShortContext runs works on a model that cannot hold their sequences.
func TestShortContext(t *testing.T) {
	c, err := model.ReadConfig(tiny)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxPositionEmbeddings = 100
	m, err := model.NewRandom(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNetwork(Model{"short", tiny})
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{network: n, Model: m}
	r := &runner{Options: Options{Rounds: 1}, report: &Report{}}
	for name, work := range map[string]func(context.Context, *subject) error{
		Train: r.train, Score: r.score, Prefill: r.prefill, Decode: r.decode,
	} {
		if err := work(context.Background(), s); err == nil || !strings.Contains(err.Error(), "the context of short has 100: leave this work out") {
			t.Errorf("%s: got error %v, want one about the context", name, err)
		}
	}
	if err := r.adapters(context.Background(), s); err != nil {
		t.Errorf("adapters, which take %d tokens: %v", promptTokens+adapterTokens, err)
	}
}

func TestTaskBatch(t *testing.T) {
	m, _, err := model.Load(tiny)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b, tokens, distinct := taskBatch(m)
	var sum int
	for i, s := range b.Sequences {
		sum += len(s.Tokens)
		if i%tasksOf > 0 {
			if before := b.Sequences[i-1].Tokens; !slices.Equal(s.Tokens[:len(before)], before) {
				t.Errorf("task %d does not begin with the one before", i)
			}
		}
		for _, l := range s.Labels {
			if s.Tokens[l.Pos+1] != l.Target {
				t.Errorf("task %d: label at %d has target %d, want the next token %d", i, l.Pos, l.Target, s.Tokens[l.Pos+1])
			}
		}
	}
	if sum != tokens || distinct != taskFiles*tasksOf*taskTokens || tokens*2 != distinct*(tasksOf+1) {
		t.Errorf("tokens: got %d, distinct %d; counted %d", tokens, distinct, sum)
	}
}

// TestCost compares with sums by hand for a model of one layer, whose matrices
// fill the panels that they are packed in.
func TestCost(t *testing.T) {
	n := &network{blocks: []matrix{{Frozen: kernel.NewFrozenFrom(32, 48, kernel.Source{})}},
		output: matrix{Frozen: kernel.NewFrozenFrom(16, 32, kernel.Source{})},
		block:  32 * 48, head: 16 * 32, sumInOut: 80, attentionDim: 8, kvDim: 4}
	for _, tt := range []struct {
		name        string
		w           pass
		bytes, flop float64
	}{
		{"decode", pass{rows: 1, context: 10, logits: 1, decoding: true}, 4*2048 + 4*4*10, 2*2048 + 4*8*10},
		{"prefill", pass{rows: 10, context: 5, logits: 1}, 4 * 204.8, 2*1536 + 4*8*5 + 2*51.2},
		{"no logits", pass{rows: 10, context: 5}, 4 * 153.6, 2*1536 + 4*8*5},
		{"train", pass{rows: 10, context: 5, logits: 5, rank: 2, adapters: 640, backward: true},
			2 * (4*204.8 + 64), 2*(2*1536+2*256) + 3*4*8*5 + 3*2*2*80},
	} {
		c := n.cost(kernel.Float32, tt.w)
		if math.Abs(c.bytes-tt.bytes) > 1e-9*tt.bytes || math.Abs(c.flop-tt.flop) > 1e-9*tt.flop {
			t.Errorf("%s: got %+v, want %g bytes and %g operations", tt.name, *c, tt.bytes, tt.flop)
		}
	}
}

func TestStored(t *testing.T) {
	for _, tt := range []struct {
		in     int
		format kernel.BlockFormat
		want   bool
	}{
		{64, kernel.Q4_0, true}, {256, kernel.Q4_K, true}, {64, kernel.Q4_K, false}, {33, kernel.Q4_0, false}, {64, 0, false},
	} {
		f := stored(adapter.Shape{In: tt.in, Out: 16}, tt.format)
		if (f != nil) != tt.want {
			t.Errorf("%d columns in %v: there is %t, want %t", tt.in, tt.format, f != nil, tt.want)
		}
		if f == nil {
			continue
		}
		was := kernel.CurrentPrecision()
		if err := kernel.SetPrecision(kernel.Int8); err != nil {
			t.Fatal(err)
		}
		x, y := slices.Repeat([]float32{1}, tt.in), make([]float32, 16)
		f.Forward(y, x, 1)
		_ = kernel.SetPrecision(was)
		for _, v := range y {
			if !(math.Abs(float64(v)) > 1e-3 && math.Abs(float64(v)) < 1e6) {
				t.Errorf("%d columns in %v: product is %v, want ordinary numbers", tt.in, tt.format, y)
				break
			}
		}
	}
}

func TestRoofline(t *testing.T) {
	c := &cost{bytes: 1e9, flop: 4e9}
	for _, tt := range []struct {
		bandwidth, peak float64
		want            *Roofline
	}{
		{10, 100, &Roofline{1e9, 4e9, 10, "memory", 0.5}},
		{100, 100, &Roofline{1e9, 4e9, 25, "arithmetic", 0.2}},
		{0, 100, nil},
		{10, 0, nil},
	} {
		if got := c.roofline(5, tt.bandwidth, tt.peak); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%g GB/s, %g GFLOP/s: got %+v, want %+v", tt.bandwidth, tt.peak, got, tt.want)
		}
	}
}

func TestOpenNetwork(t *testing.T) {
	n, err := openNetwork(Model{"tiny", tiny})
	if err != nil {
		t.Fatal(err)
	}
	// 64 wide, 3 layers, 4 heads and 2 for keys of 16, 96 inside, vocabulary of 512.
	if want := 3. * (2*64*64 + 2*64*32 + 3*64*96); n.block != want || n.head != 512*64 {
		t.Errorf("weights: got %g and %g, want %g and %d", n.block, n.head, want, 512*64)
	}
	if n.kvDim != 2*2*16*3 || n.attentionDim != 4*16*3 || n.sumInOut != 3*(2*128+2*96+3*160) {
		t.Errorf("got kv %g, attention %g, in+out %g", n.kvDim, n.attentionDim, n.sumInOut)
	}
	all, block := n.weights(kernel.Float32, 1, 1, false), n.weights(kernel.Float32, 1, 0, false)
	if len(n.blocks) != 3*7 || block != 4*n.block || all != 4*(n.block+n.head) {
		t.Errorf("bytes in float32: got %g and %g for %g and %g weights in %d matrices", block, all, n.block, n.head, len(n.blocks))
	}
	if got := n.weights(kernel.Int8, 1, 1, false); got <= n.block/2 || got >= all {
		t.Errorf("bytes as stored: got %g, want fewer than the %g of float32", got, all)
	}
}

func TestParseCPUInfo(t *testing.T) {
	for _, tt := range []struct {
		name, text, processor string
		sets                  []string
	}{
		{"x86", "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 fma avx512f avx512_vnni\n\nprocessor\t: 1\nflags\t\t: amx_int8\n",
			"AMD EPYC (family 25, model 17)", []string{"fma", "avx2", "avx512f", "avx512_vnni"}},
		{"arm64", "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd40\n", "0xd40", []string{"asimd", "asimddp"}},
		{"nothing", "", "unknown", []string{}},
		{"nonsense", "a\n:\n::\n", "unknown", []string{}},
	} {
		p, sets := parseCPUInfo(tt.text)
		if p != tt.processor || !reflect.DeepEqual(sets, tt.sets) {
			t.Errorf("%s: got %q with %q, want %q with %q", tt.name, p, sets, tt.processor, tt.sets)
		}
	}
}

func TestParsePeak(t *testing.T) {
	if got, err := parsePeak("VmPeak:\t  9 kB\nVmHWM:\t   123 kB\n"); err != nil || got != 123<<10 {
		t.Errorf("got %d, %v, want %d", got, err, 123<<10)
	}
	for text, want := range map[string]string{"": "has no VmHWM", "VmHWM: many\n": `"many": want a number`} {
		if _, err := parsePeak(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("status %q: got error %v, want %q", text, err, want)
		}
	}
}

func TestDecodeOnce(t *testing.T) {
	if err := DecodeOnce(context.Background(), Model{"tiny", tiny}); err != nil {
		t.Error(err)
	}
	if err := DecodeOnce(context.Background(), Model{"gone", "missing.gguf"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got error %v, want %v", err, os.ErrNotExist)
	}
}

// TestEncodeSource reads the repository that the encoder is measured on.
func TestEncodeSource(t *testing.T) {
	fs := files{[]byte("a"), []byte("b")}
	var got []string
	blobs := fs.Blobs()
	err := fs.Each(context.Background(), blobs[1:], func(b encoder.Blob, content []byte) error {
		got = append(got, b.Path+"="+string(content))
		return nil
	})
	if want := []string{"f0001.py=b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	broken := errors.New("broken")
	if err := fs.Each(context.Background(), blobs, func(encoder.Blob, []byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}
