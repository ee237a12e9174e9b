package hypernet

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// testCheckpoint returns a checkpoint with random values, and a representation
// that it can read.
func testCheckpoint(t testing.TB, kind string, opts any) (*Checkpoint, *embedding.Representation) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 10))
	reps := testReps(rng, 12, 9)
	h, err := New(kind, opts, Setup{Dims: testDims(), Inputs: InputsOf(reps[0])})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Fit(reps); err != nil {
		t.Fatal(err)
	}
	h.Init(1)
	randomise(rng, h.Params(), 0.3)
	loss := 1.25
	return &Checkpoint{Head: h, Info: Info{
		Name: "toy", Base: adapter.Base{Name: "tiny", HubID: "nobody/tiny", SHA256: strings.Repeat("ab", 32)},
		Encoder: "test", Config: strings.Repeat("cd", 32), Tool: "code2lora test",
		Repositories: 12, Tasks: 345, Step: 67, ValidationLoss: &loss,
	}}, reps[3]
}

func checkpointCases() map[string]struct {
	kind string
	opts any
} {
	type c = struct {
		kind string
		opts any
	}
	cases := map[string]c{
		"direct":              {DirectKind, map[string]any{"hidden": 5, "rank": 2}},
		"direct, per layer":   {DirectKind, map[string]any{"hidden": 5, "rank": 2, "per_layer": true, "modules": []string{"up_proj"}}},
		"direct, standardise": {DirectKind, map[string]any{"hidden": 5, "rank": 2, "input": map[string]any{"standardize": "zscore"}}},
	}
	for _, opts := range factoredCases() {
		cases[caseName(opts)] = c{FactoredKind, opts}
	}
	return cases
}

func TestCheckpointRoundTrip(t *testing.T) {
	for name, tt := range checkpointCases() {
		t.Run(name, func(t *testing.T) {
			c, rep := testCheckpoint(t, tt.kind, tt.opts)
			path := filepath.Join(t.TempDir(), "head.safetensors")
			if err := Save(path, c, safetensors.F32); err != nil {
				t.Fatal(err)
			}
			got, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Info, c.Info) {
				t.Errorf("got %+v, want %+v", got.Info, c.Info)
			}
			if got.Head.Kind() != c.Head.Kind() || !reflect.DeepEqual(got.Head.Options(), c.Head.Options()) || got.Head.Dims() != c.Head.Dims() {
				t.Errorf("got head %s %+v, want %s %+v", got.Head.Kind(), got.Head.Options(), c.Head.Kind(), c.Head.Options())
			}
			want, err := c.Generate(rep)
			if err != nil {
				t.Fatal(err)
			}
			a, err := got.Generate(rep)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a, want) {
				t.Error("the adapter differs after saving and loading")
			}
			avg, err := got.AverageAdapter()
			if err != nil {
				t.Fatal(err)
			}
			wantAvg, err := c.AverageAdapter()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(avg, wantAvg) {
				t.Error("the average adapter differs after saving and loading")
			}
			trainOn(t, got, rep)
		})
	}
}

// trainOn checks that a loaded head can be trained further.
func trainOn(t *testing.T, c *Checkpoint, rep *embedding.Representation) {
	t.Helper()
	a, tape, err := c.Head.Generate(rep)
	if err != nil {
		t.Fatal(err)
	}
	tape.Backward(a)
	for _, p := range c.Head.Params() {
		if len(p.Grad) != len(p.Value) {
			t.Errorf("%s: gradient of %d values, want %d", p.Name, len(p.Grad), len(p.Value))
		}
	}
}

// TestCheckpointHalf checks that half precision changes values by its rounding
// error and leaves the standardiser alone.
func TestCheckpointHalf(t *testing.T) {
	c, _ := testCheckpoint(t, FactoredKind, factoredCases()[1])
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := Save(path, c, safetensors.F16); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range c.Head.Params() {
		for j, v := range p.Value {
			// Half an ulp of 11 bits, or of the smallest subnormal.
			bound := math.Abs(float64(v))*0x1p-11 + 0x1p-25
			if g := got.Head.Params()[i].Value[j]; math.Abs(float64(g-v)) > bound {
				t.Errorf("%s[%d] is %g, want %g", p.Name, j, g, v)
			}
		}
	}
	if !reflect.DeepEqual(got.Head.Buffers(), c.Head.Buffers()) {
		t.Error("the buffers were rounded")
	}
	if err := Save(path+"2", got, safetensors.F16); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(path + "2")
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(first, second) {
		t.Error("saving a loaded checkpoint gives other bytes")
	}
}

// TestReleaseSize checks that the largest recommended head for SmolLM2-135M
// fits into the 15 MB that a checkpoint in the tree may have.
func TestReleaseSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	reps := testReps(rng, 60, 1152)
	h, err := New(FactoredKind, map[string]any{"rank": 16}, Setup{Dims: smolDims(), Inputs: InputsOf(reps[0])})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Fit(reps); err != nil {
		t.Fatal(err)
	}
	h.Init(1)
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := Save(path, &Checkpoint{Head: h}, safetensors.F16); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() > 15_000_000 || st.Size() < 11_000_000 {
		t.Errorf("file of %d bytes, want about 11.7 million", st.Size())
	}
}

func TestReadInfo(t *testing.T) {
	c, _ := testCheckpoint(t, DirectKind, map[string]any{"hidden": 5})
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := Save(path, c, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	got, err := ReadInfo(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Info, c.Info) || got.Head.Params()[0].Value != nil {
		t.Errorf("got %+v with values %v, want %+v without", got.Info, got.Head.Params()[0].Value != nil, c.Info)
	}
}

func TestSaveRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head.safetensors")
	for _, tt := range []struct {
		name  string
		dtype safetensors.DType
		spoil func(*Checkpoint)
		want  string
	}{
		{"type", safetensors.BF16, func(*Checkpoint) {}, "BF16"},
		{"NaN", safetensors.F32, func(c *Checkpoint) { c.Head.Params()[0].Value[1] = float32(math.NaN()) }, "not finite"},
		{"too large", safetensors.F16, func(c *Checkpoint) { c.Head.Params()[0].Value[1] = 1e6 }, `"trunk.0.weight"`},
		{"no values", safetensors.F32, func(c *Checkpoint) { c.Head.Params()[0].Value = nil }, "no values"},
		{"loss", safetensors.F32, func(c *Checkpoint) { *c.ValidationLoss = math.Inf(1) }, "unsupported value"},
	} {
		c, _ := testCheckpoint(t, FactoredKind, factoredCases()[1])
		tt.spoil(c)
		if err := Save(path, c, tt.dtype); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("%s: %s was left behind", tt.name, left[0].Name())
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head.safetensors")
	opts := factoredCases()[1]
	opts["inject"] = embedding.Lexicon
	c, _ := testCheckpoint(t, FactoredKind, opts)
	metadata, err := c.describe(nil)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) func(TensorMap) string {
		return func(TensorMap) string {
			if !strings.Contains(metadata, old) {
				t.Fatalf("the metadata has no %q: %s", old, metadata)
			}
			return strings.Replace(metadata, old, with, 1)
		}
	}
	change := func(name string, f func(*embedding.Tensor)) func(TensorMap) string {
		return func(ts TensorMap) string {
			x := ts[name]
			x.Data, x.Shape = slices.Clone(x.Data), slices.Clone(x.Shape)
			f(&x)
			ts[name] = x
			return metadata
		}
	}
	const gate, mean, std, anchors = "core.layers.0.q_proj.weight", "input.mean", "input.std", "input.anchors"
	for _, tt := range []struct {
		name  string
		spoil func(TensorMap) string // returns the metadata
		want  string
	}{
		{"no metadata", func(TensorMap) string { return "" }, "not a hypernetwork checkpoint"},
		{"not JSON", func(TensorMap) string { return "{" }, "metadata"},
		{"version", replace(`"format_version":1`, `"format_version":2`), "format 2"},
		{"kind", replace(`"kind":"factored"`, `"kind":"mamba"`), `"mamba"`},
		{"option", replace(`"rank":3`, `"rank":3,"depth":9`), `"depth"`},
		{"huge rank", replace(`"rank":3`, `"rank":4000`), "shape"},
		{"huge layers", replace(`"num_hidden_layers":2`, `"num_hidden_layers":999999999`), "layers"},
		{"more layers", replace(`"num_hidden_layers":2`, `"num_hidden_layers":1000`), "is missing"},
		{"huge module", replace(`"up_proj":[6,11]`, `"up_proj":[16000000,16000000]`), "shape"},
		{"overflow", replace(`"up_proj":[6,11]`, `"up_proj":[6,99999999999999999999]`), "metadata"},
		{"negative", replace(`"step":67`, `"step":-1`), "negative"},
		{"huge input", replace(`"dim":9`, `"dim":10000000`), "input.mean"},
		{"unknown tensor", func(ts TensorMap) string { ts["extra"] = ts[gate]; return metadata }, `unknown tensor "extra"`},
		{"unknown buffer", func(ts TensorMap) string { ts["input.extra"] = ts[gate]; return metadata }, `unknown tensor "input.extra"`},
		{"missing tensor", func(ts TensorMap) string { delete(ts, gate); return metadata }, gate},
		{"missing buffer", func(ts TensorMap) string { delete(ts, std); return metadata }, std},
		{"missing anchors", func(ts TensorMap) string { delete(ts, anchors); return metadata }, anchors},
		{"shape", change(gate, func(x *embedding.Tensor) { x.Shape = []int{x.Shape[1], x.Shape[0]} }), gate},
		{"buffer shape", change(mean, func(x *embedding.Tensor) { x.Shape = []int{3, 3} }), mean},
		{"anchor", change(anchors, func(x *embedding.Tensor) { x.Shape, x.Data = []int{1, 5}, x.Data[:5] }), anchors},
		{"NaN", change(gate, func(x *embedding.Tensor) { x.Data[2] = float32(math.NaN()) }), "value 2 is not finite"},
		{"missing injection", func(ts TensorMap) string { delete(ts, bufferInjectRMS); return metadata }, bufferInjectRMS},
		{"injection shape", change(bufferInjectMean, func(x *embedding.Tensor) { x.Shape, x.Data = []int{5}, x.Data[:5] }), bufferInjectMean},
		{"injection by zero", change(bufferInjectRMS, func(x *embedding.Tensor) { x.Data[0] = 0 }), "want above 0"},
		{"injection that is not asked for", replace(`"inject":"lexicon",`, ""), "unknown tensor"},
		{"two streams", replace(`"o_proj":[6,6]`, `"o_proj":[6,4]`), "residual stream"},
		{"negative stream", replace(`"down_proj":[11,6]`, `"down_proj":[11,-6]`), "down_proj"},
		{"negative deviation", change(std, func(x *embedding.Tensor) { x.Data[2] = -1 }), "not negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := WriteTensors(c.Head)
			writeTensors(t, path, ts, tt.spoil(ts))
			if _, err := Load(path); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want one that contains %q", err, tt.want)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v for no file, want %v", err, os.ErrNotExist)
	}
}

func writeTensors(t *testing.T, path string, ts TensorMap, metadata string) {
	t.Helper()
	var tensors []safetensors.Tensor
	for name, x := range ts {
		tensors = append(tensors, safetensors.Float32Tensor(name, safetensors.F32, x.Shape, x.Data))
	}
	if err := safetensors.Write(path, tensors, map[string]string{MetadataKey: metadata}); err != nil {
		t.Fatal(err)
	}
}

func TestGenerateRefusesOtherEncoder(t *testing.T) {
	c, rep := testCheckpoint(t, FactoredKind, factoredCases()[1])
	other := *rep
	other.Encoder = "lexical"
	if _, err := c.Generate(&other); !errors.Is(err, ErrEncoder) {
		t.Errorf("got error %v, want %v", err, ErrEncoder)
	}
}

// FuzzLoad checks that no file makes Load panic, and that a head it accepts can
// be used.
func FuzzLoad(f *testing.F) {
	for _, tt := range checkpointCases() {
		c, _ := testCheckpoint(f, tt.kind, tt.opts)
		path := filepath.Join(f.TempDir(), "head.safetensors")
		if err := Save(path, c, safetensors.F16); err != nil {
			f.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	c, _ := testCheckpoint(f, FactoredKind, factoredCases()[1])
	path := filepath.Join(f.TempDir(), "recurrent.safetensors")
	r := &Recurrence{Description: []byte(`{"input":"diff"}`), Tensors: TensorMap{"gru.bias_ih_l0": {Shape: []int{3}, Data: []float32{1, 2, 3}}}}
	if err := SaveRecurrent(path, c, r, safetensors.F16); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := safetensors.Read(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		c, _, err := load(file)
		if err != nil {
			return
		}
		if _, err := c.AverageAdapter(); err != nil {
			t.Errorf("a checkpoint was loaded, but has no average adapter: %v", err)
		}
	})
}
