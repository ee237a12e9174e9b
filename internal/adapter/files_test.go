package adapter

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/gguf"
	"github.com/code2lora/code2lora/internal/safetensors"
)

// formats are all ways to write an adapter.
var formats = map[string]func(path string, a *Adapter, opt Options) error{
	"native": WriteNative, "peft": WritePEFT, "gguf": WriteGGUF,
}

func qwen(d Dims) Dims {
	d.Arch = "qwen2"
	return d
}

func TestRoundTrip(t *testing.T) {
	adapters := map[string]*Adapter{
		"all":        random(testDims, allModules, 3, 6, false),
		"shared":     random(testDims, allModules, 4, 1, true),
		"two":        random(testDims, []Module{KProj, DownProj}, 1, 32, false),
		"qwen2":      random(qwen(testDims), allModules, 3, 6, false),
		"part alpha": random(testDims, []Module{QProj}, 4, 4, false),
	}
	for name, a := range adapters {
		for format, write := range formats {
			for typ, tolerance := range map[safetensors.DType]float64{"": 0, safetensors.F16: 0x1p-11, safetensors.BF16: 0x1p-8} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, format, typ), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "new", "adapter")
					if format == "gguf" {
						path = filepath.Join(t.TempDir(), "adapter.gguf")
					}
					if err := write(path, a, Options{typ}); err != nil {
						t.Fatal(err)
					}
					for _, dims := range []*Dims{nil, &a.Dims} {
						got, err := Read(path, dims)
						if err != nil {
							t.Fatal(err)
						}
						diff(t, got, a, tolerance)
						if !reflect.DeepEqual(got.Provenance, a.Provenance) {
							t.Errorf("provenance: got %+v, want %+v", got.Provenance, a.Provenance)
						}
						if got.Shared() != a.Shared() {
							t.Errorf("shared: got %v, want %v", got.Shared(), a.Shared())
						}
						if typ == "" && Digest(got) != Digest(a) {
							t.Error("the digest changed")
						}
					}
					other := a.Dims
					other.NumHiddenLayers = 4
					if _, err := Read(path, &other); !errors.Is(err, ErrBaseModel) {
						t.Errorf("for another base: got error %v, want ErrBaseModel", err)
					}
				})
			}
		}
	}
}

// TestGolden compares with what PEFT and the converter of llama.cpp wrote, see
// reference/adapter_golden.py.
func TestGolden(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2"} {
		t.Run(arch, func(t *testing.T) {
			golden := "testdata/peft_tiny_" + arch
			d := readDims(t, "../model/testdata/tiny-"+arch+".gguf")
			want := formula(d, 4, 8)
			const ulp = 0x1p-22 // the sine of numpy may round otherwise
			fromPEFT, err := Read(golden, &d)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, fromPEFT, want, ulp)
			fromGGUF, err := Read(golden+"/adapter.gguf", &d)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, fromGGUF, fromPEFT, 0)
			if _, err := Read(golden, nil); err == nil || !strings.Contains(err.Error(), "say which") {
				t.Errorf("without dimensions: got error %v", err)
			}

			dir := t.TempDir()
			if err := WritePEFT(filepath.Join(dir, "peft"), fromPEFT, Options{}); err != nil {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(filepath.Join(dir, "peft", peftWeights))
			if want, _ := os.ReadFile(filepath.Join(golden, peftWeights)); !bytes.Equal(got, want) {
				t.Errorf("%s differs from PEFT's", peftWeights)
			}
			if err := WriteGGUF(filepath.Join(dir, "a.gguf"), fromPEFT, Options{}); err != nil {
				t.Fatal(err)
			}
			sameTensors(t, filepath.Join(dir, "a.gguf"), golden+"/adapter.gguf")
		})
	}
}

// sameTensors compares the tensors of two GGUF files, whatever their order.
func sameTensors(t *testing.T, got, want string) {
	t.Helper()
	f, err := gguf.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := gguf.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if len(f.Tensors()) != len(g.Tensors()) {
		t.Errorf("got %d tensors, want %d", len(f.Tensors()), len(g.Tensors()))
	}
	for _, info := range g.Tensors() {
		have, _ := f.Tensor(info.Name)
		if !slices.Equal(have.Dims, info.Dims) || !bytes.Equal(f.Data(have), g.Data(info)) {
			t.Errorf("tensor %q differs", info.Name)
		}
	}
}

func TestWriteRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(a *Adapter) Options
		in     string // formats that refuse
		want   string
	}{
		{"F16 overflow", func(a *Adapter) Options { a.Layers[0][QProj].B[0] = -70000; return Options{safetensors.F16} }, "native peft gguf", "F16"},
		{"infinity", func(a *Adapter) Options { a.Layers[0][QProj].B[0] = float32(math.Inf(1)); return Options{} }, "native peft gguf", "finite"},
		{"type", func(a *Adapter) Options { return Options{safetensors.I32} }, "native peft gguf", "I32"},
		{"rank", func(a *Adapter) Options { a.Rank = 0; return Options{} }, "native peft gguf", "rank 0"},
		{"alpha", func(a *Adapter) Options { a.Alpha = math.NaN(); return Options{} }, "native peft gguf", "alpha NaN"},
		{"alpha 0", func(a *Adapter) Options { a.Alpha = 0; return Options{} }, "gguf", "alpha 0"},
		{"heads", func(a *Adapter) Options { a.Dims.NumAttentionHeads = 5; return Options{} }, "native peft gguf", "heads"},
		{"empty", func(a *Adapter) Options { *a = *New(testDims, nil, 2, 2, false); return Options{} }, "peft gguf", "no pairs"},
	}
	for _, tt := range tests {
		for format, write := range formats {
			a := random(testDims, allModules, 2, 2, false)
			path := filepath.Join(t.TempDir(), "a")
			err := write(path, a, tt.change(a))
			if refuses := slices.Contains(strings.Fields(tt.in), format); refuses {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s as %s: got error %v, want %q in it", tt.name, format, err, tt.want)
				}
				if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) > 0 {
					t.Errorf("%s as %s: left behind %v", tt.name, format, entries)
				}
			} else if err != nil {
				t.Errorf("%s as %s: %v", tt.name, format, err)
			}
		}
	}
}

func TestNativeStoresSharedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	a := random(testDims, []Module{QProj, VProj}, 2, 2, true)
	own := *a.Layers[2][VProj]
	a.Layers[2][VProj] = &own // v_proj is not shared any more
	if err := WriteNative(dir, a, Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(dir, nativeWeights))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []string{
		"layers.0.v_proj.lora_A", "layers.0.v_proj.lora_B", "layers.1.v_proj.lora_A", "layers.1.v_proj.lora_B",
		"layers.2.v_proj.lora_A", "layers.2.v_proj.lora_B", "shared.q_proj.lora_A", "shared.q_proj.lora_B",
	}
	if got := f.Names(); !slices.Equal(got, want) {
		t.Errorf("tensors: got %q, want %q", got, want)
	}
}

func TestReadNativeErrors(t *testing.T) {
	write := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "a")
		if err := WriteNative(dir, random(testDims, []Module{QProj}, 2, 2, true), Options{}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	edits := []struct{ old, new, want string }{
		{`"format": "code2lora adapter"`, `"format": "x"`, "format"},
		{`"version": 1`, `"version": 2`, "version 2"},
		{`"num_hidden_layers": 3`, `"num_hidden_layers": 1000000000`, "layers"},
		{`"num_hidden_layers": 3`, `"num_hidden_layers": 0`, "layers"},
		{`"num_key_value_heads": 2`, `"num_key_value_heads": -1`, "heads"},
		{`"in_features": 24`, `"in_features": 9000000000000000000`, "o_proj"},
		{`"q_proj": {`, `"x_proj": {`, "unknown module"},
		{`"rank": 2`, `"rank": -2`, "rank"},
		{`"rank": 2`, `"rank": 3`, "shape"},
		{`"alpha": 2`, `"alpha": 1e999`, "number"},
		{`{`, `[`, "JSON|cannot unmarshal|invalid character"},
	}
	for _, e := range edits {
		t.Run(e.new, func(t *testing.T) {
			dir := write(t)
			path := filepath.Join(dir, sidecarName)
			raw, _ := os.ReadFile(path)
			edited := strings.Replace(string(raw), e.old, e.new, 1)
			if edited == string(raw) {
				t.Fatalf("%q is not in %s", e.old, raw)
			}
			os.WriteFile(path, []byte(edited), 0o666)
			_, err := Read(dir, nil)
			if err == nil || !slices.ContainsFunc(strings.Split(e.want, "|"), func(s string) bool { return strings.Contains(err.Error(), s) }) {
				t.Errorf("got error %v, want %q in it", err, e.want)
			}
		})
	}
	tensor := func(name string) safetensors.Tensor {
		return safetensors.Float32Tensor(name, safetensors.F32, []int{2, 12}, make([]float32, 24))
	}
	for _, name := range []string{"x", "shared.q_proj", "shared.x_proj.lora_A", "layers.3.q_proj.lora_A", "layers.-1.q_proj.lora_A", "layers.0.q_proj.lora_A"} {
		dir := write(t)
		if err := safetensors.Write(filepath.Join(dir, nativeWeights), []safetensors.Tensor{tensor(name)}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir, nil); err == nil {
			t.Errorf("a file with only %q was read", name)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
	if _, err := Read(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "no adapter") {
		t.Errorf("empty folder: got %v", err)
	}
}

func TestWriteFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a")
	first, second := random(testDims, []Module{QProj}, 2, 2, true), random(testDims, []Module{VProj}, 2, 4, true)
	if err := WritePEFT(dir, first, Options{}); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(parent, ".a.tmp-xyz")
	if err := os.Mkdir(stale, 0o777); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * staleAge)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	if err := WriteNative(dir, second, Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, got, second, 0)
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("beside the adapter: %v", entries)
	}

	// A failing writer leaves the old folder alone.
	broken := errors.New("disk full")
	if err := writeFolder(dir, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	if _, err := Read(dir, nil); err != nil {
		t.Errorf("after a failed write: %v", err)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("after a failed write: %v", entries)
	}

	// Through a link, the folder is replaced and the link stays.
	link := filepath.Join(parent, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	if err := WriteNative(link, first, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir, nil); err != nil || got.Modules()[0] != QProj {
		t.Errorf("through the link: %v", err)
	}

	// A folder with anything else in it is never replaced.
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := WriteNative(dir, first, Options{}); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a folder with other files: got error %v", err)
	}
	if err := WriteNative(filepath.Join(dir, "thesis.tex"), first, Options{}); err == nil {
		t.Error("a file was replaced by a folder")
	}
}
