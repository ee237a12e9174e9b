package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/code2lora/code2lora/internal/encoder"
)

// encodeTokens is about how many the encoder reads.
const encodeTokens = 100_000

// files is a repository whose files are all different.
type files [][]byte

// Blobs implements encoder.Source.
func (fs files) Blobs() []encoder.Blob {
	bs := make([]encoder.Blob, len(fs))
	for i, f := range fs {
		name := fmt.Sprintf("f%04d.py", i)
		bs[i] = encoder.Blob{Path: name, ID: name, Size: int64(len(f))}
	}
	return bs
}

// Each implements encoder.Source.
func (fs files) Each(_ context.Context, blobs []encoder.Blob, f func(encoder.Blob, []byte) error) error {
	for _, b := range blobs {
		var i int
		if _, err := fmt.Sscanf(b.Path, "f%d.py", &i); err != nil {
			return err
		}
		if err := f(b, fs[i]); err != nil {
			return err
		}
	}
	return nil
}

// encode compares the default encoder, with a lexicon and without a cache, with
// the bare forward pass over the same windows through the same layers.
func (r *runner) encode(ctx context.Context, s *subject) error {
	rng := rand.New(rand.NewPCG(3, 4))
	opt := encoder.DefaultOptions(encoder.KindHidden)
	opt.Lexicon = true
	opt.Layer = min(opt.Layer, s.NumHiddenLayers)
	var fs files
	var windows [][]int32
	tokens := 0
	for tokens < encodeTokens {
		var text strings.Builder
		for range 40 + rng.IntN(160) {
			fmt.Fprintf(&text, "    value_%d = self.read(%d, name=%q)\n", rng.IntN(50), rng.IntN(1000), strconv.Itoa(rng.IntN(99)))
		}
		ids := s.tokenizer.Encode(text.String())
		tokens += len(ids)
		fs = append(fs, []byte(text.String()))
		for c := range slices.Chunk(ids, opt.Chunk) {
			windows = append(windows, c)
		}
	}
	e, err := encoder.New(opt, s.Model, s.tokenizer, nil)
	if err != nil {
		return err
	}
	seconds, err := turns(ctx, r.Rounds, timed(func(ctx context.Context) error {
		_, err := e.Encode(ctx, fs, nil)
		return err
	}), timed(func(ctx context.Context) error {
		for batch := range slices.Chunk(windows, max(1, 2048/opt.Chunk)) {
			if _, err := s.Hidden(ctx, batch, opt.Layer); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		return err
	}
	r.add(s.figure(Encode, fmt.Sprintf("%d tokens, %d layers", tokens, opt.Layer), float64(tokens), seconds[0]), nil)
	r.add(s.ratio(Encode, "bare forward pass to encoder", seconds[1], seconds[0]), nil)
	return nil
}
