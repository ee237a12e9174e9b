// Command ours runs our side of the comparisons in this folder. The last line
// it prints is a JSON object.
//
//	go run ./reference/peers/ours train-step MODEL.gguf [STEPS]
//	go run ./reference/peers/ours encode MODEL.gguf
//
// train-step is the work of train_step.py: forward and backward for 4 × 256
// tokens, a LoRA of rank 16 on all seven projections of every layer, 16 labels
// in each sequence. encode compares the default encoder on 100,000 tokens with
// the bare forward pass over the same tokens through the same layers, by turns.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/encoder"
	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: ours train-step|encode MODEL.gguf [STEPS]")
		os.Exit(2)
	}
	m, t, err := model.Load(os.Args[2])
	if err == nil {
		switch os.Args[1] {
		case "train-step":
			err = trainStep(m, os.Args[3:])
		case "encode":
			err = encode(m, t)
		default:
			err = fmt.Errorf("%q: want train-step or encode", os.Args[1])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

func trainStep(m *model.Model, args []string) error {
	steps := 5
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return fmt.Errorf("steps %q: want a number from 1", args[0])
		}
		steps = n
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var all []adapter.Module
	for mod := range adapter.NumModules {
		all = append(all, mod)
	}
	a := adapter.New(m.Config.Dims(), all, 16, 32, false)
	for _, e := range a.Pairs() {
		for _, f := range [2][]float32{e.A, e.B} {
			for i := range f {
				f[i] = float32(0.01 * rng.NormFloat64())
			}
		}
	}
	const batch, length, labels = 4, 256, 16
	b := model.Batch{Adapters: []*adapter.Adapter{a}}
	for range batch {
		s := model.Sequence{Tokens: make([]int32, length)}
		for i := range s.Tokens {
			s.Tokens[i] = int32(rng.IntN(m.VocabSize))
		}
		for i := range labels {
			s.Labels = append(s.Labels, model.Label{Pos: i*length/labels + 8, Target: int32(rng.IntN(m.VocabSize)), Weight: 1})
		}
		b.Sequences = append(b.Sequences, s)
	}
	var seconds []float64
	for i := range steps + 1 { // one to warm up
		began := time.Now()
		if _, err := m.Gradient(context.Background(), b, model.GradientOptions{}); err != nil {
			return err
		}
		if i > 0 {
			seconds = append(seconds, time.Since(began).Seconds())
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"tokens_per_second": batch * length / median(seconds),
		"kernel": kernel.Implementation(), "precision": kernel.CurrentPrecision().String(), "steps": steps})
}

// words are a repository whose files are all different.
type words struct{ files [][]byte }

func (w words) Blobs() []encoder.Blob {
	var bs []encoder.Blob
	for i, f := range w.files {
		name := fmt.Sprintf("f%04d.py", i)
		bs = append(bs, encoder.Blob{Path: name, ID: name, Size: int64(len(f))})
	}
	return bs
}

func (w words) Each(_ context.Context, blobs []encoder.Blob, f func(encoder.Blob, []byte) error) error {
	for _, b := range blobs {
		var i int
		if _, err := fmt.Sscanf(b.Path, "f%d.py", &i); err != nil {
			return err
		}
		if err := f(b, w.files[i]); err != nil {
			return err
		}
	}
	return nil
}

func encode(m *model.Model, t *tokenizer.Tokenizer) error {
	const want = 100_000
	rng := rand.New(rand.NewPCG(3, 4))
	var w words
	var windows [][]int32
	opt := encoder.DefaultOptions(encoder.KindHidden)
	opt.Lexicon = true
	tokens := 0
	for tokens < want {
		var text strings.Builder
		for range 40 + rng.IntN(160) {
			fmt.Fprintf(&text, "    value_%d = self.read(%d, name=%q)\n", rng.IntN(50), rng.IntN(1000), strconv.Itoa(rng.IntN(99)))
		}
		ids := t.Encode(text.String())
		tokens += len(ids)
		w.files = append(w.files, []byte(text.String()))
		for c := range slices.Chunk(ids, opt.Chunk) {
			windows = append(windows, c)
		}
	}
	e, err := encoder.New(opt, m, t, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var ratios []float64
	for range 3 {
		began := time.Now()
		if _, err := e.Encode(ctx, w, nil); err != nil {
			return err
		}
		encoded := time.Since(began).Seconds()
		began = time.Now()
		for batch := range slices.Chunk(windows, 2048/opt.Chunk) {
			if _, err := m.Hidden(ctx, batch, opt.Layer); err != nil {
				return err
			}
		}
		ratios = append(ratios, encoded/time.Since(began).Seconds())
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"tokens": tokens, "layers": opt.Layer,
		"ratio_to_bare_forward": median(ratios), "ratios": ratios})
}
