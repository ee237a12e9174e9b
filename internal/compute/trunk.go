package compute

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/store"
)

// Trunk is a backend that reads the output of the lowest layers, which no
// adapter touches, from disk: it is computed once for each sequence of a
// training set, and then serves all adapters, epochs and runs. Requests whose
// adapters reach lower pass through as they are.
//
// The files are a [store.Cache] of float32 rows (T,D), by the base, the layer,
// the arithmetic and the tokens. Answers are the same bits with and without; in
// bfloat16 only for batches of at least eight tokens, see [model.Model.Hidden].
//
// When the files of a run take all of the room, no more are written: each epoch
// needs all sequences once, so that making room for the next by removing the
// oldest would remove what is needed first. Files that the run doesn't use make
// room.
type Trunk struct {
	backend Backend
	states  States
	cache   *store.Cache
	layer   int
	most    int64 // bytes
	report  func(format string, args ...any)

	mu     sync.Mutex
	total  int64          // bytes in the folder
	used   map[string]int // bytes of the entries that this run has used
	inUse  int64          // their sum
	broken bool           // reading or writing failed
	stats  TrunkStats
}

// States gives hidden states; [model.Model] does.
type States interface {
	Hidden(ctx context.Context, sequences [][]int32, blocks int) ([][]float32, error)
}

// TrunkStats counts tokens.
type TrunkStats struct {
	Read     int64 // whose lower layers were read from disk
	Computed int64 // whose lower layers were computed
	Kept     int64 // of these, that were written
}

// trunkEntry bounds what an entry takes besides its rows.
const trunkEntry = 512

// NewTrunk returns a backend in front of another one, of the same base as
// states, that reads what enters the given layer from files in dir. These take
// at most the given number of bytes, with those of other runs. report, which
// may be nil, is told about files that cannot be written, which is no failure.
func NewTrunk(b Backend, states States, dir string, layer int, most int64, report func(format string, args ...any)) (*Trunk, error) {
	if n := b.Info().Config.NumHiddenLayers; layer < 1 || layer > n {
		return nil, fmt.Errorf("keeping what enters layer %d: want 1 to %d", layer, n)
	}
	cache, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	if _, _, err := cache.Prune(most); err != nil {
		return nil, err
	}
	total, err := cache.Size()
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = func(string, ...any) {}
	}
	return &Trunk{backend: b, states: states, cache: cache, layer: layer, most: most, report: report, total: total, used: map[string]int{}}, nil
}

// Info is that of the other backend.
func (t *Trunk) Info() Info { return t.backend.Info() }

// Stats returns what has been read and computed.
func (t *Trunk) Stats() TrunkStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// Do answers a request that begins at the trunk's layer, if this one can.
func (t *Trunk) Do(ctx context.Context, r *Request) (*Response, error) {
	info := t.Info()
	if err := info.check(r); err != nil {
		return nil, err
	}
	if !t.serves(r) {
		return t.backend.Do(ctx, r)
	}
	upper := *r
	upper.From, upper.Sequences = t.layer, slices.Clone(r.Sequences)
	ok, err := t.fill(ctx, &upper, info.Config.HiddenSize)
	if err != nil {
		return nil, err
	}
	if !ok {
		return t.backend.Do(ctx, r)
	}
	return t.backend.Do(ctx, &upper)
}

// serves reports whether a request may begin at the trunk's layer.
func (t *Trunk) serves(r *Request) bool {
	if r.From != 0 || len(r.Sequences) == 0 {
		return false
	}
	for _, a := range r.Adapters {
		if a == nil || a.LowestLayer() < t.layer {
			return false
		}
	}
	for _, l := range r.Options.Activations {
		if l < t.layer {
			return false
		}
	}
	for i, s := range r.Sequences {
		// What is wrong with a batch is for the backend to say.
		if s.Hidden != nil || len(s.Tokens) == 0 || s.Prefix < 0 || s.Prefix > i {
			return false
		}
		if s.Prefix > 0 && (s.PrefixLen < 0 || s.PrefixLen > len(r.Sequences[s.Prefix-1].Tokens)) {
			return false
		}
	}
	return true
}

// fewRows is the number of rows below which products in bfloat16 have other
// bits.
const fewRows = 8

// fill gives every sequence its hidden states. ok is false if there are too
// few to compute for the same bits.
func (t *Trunk) fill(ctx context.Context, r *Request, D int) (ok bool, err error) {
	paths := paths(r.Sequences)
	keys := make([]string, len(paths))
	rows := map[string][]float32{}
	var missing []int
	tokens := 0
	for i, path := range paths {
		own := len(r.Sequences[i].Tokens)
		keys[i] = t.key(r, path, own)
		if _, ok := rows[keys[i]]; ok {
			continue
		}
		rows[keys[i]] = t.read(keys[i], own*D)
		if rows[keys[i]] == nil {
			missing, tokens = append(missing, i), tokens+len(path)
		}
	}
	if r.Precision == kernel.BFloat16 && len(missing) > 0 && tokens < fewRows {
		return false, nil
	}
	if err := t.compute(ctx, r, paths, keys, missing, rows, D); err != nil {
		return false, err
	}
	for i := range r.Sequences {
		r.Sequences[i].Hidden = rows[keys[i]]
	}
	return true, nil
}

// compute makes the rows of missing sequences, and keeps them if there is room.
func (t *Trunk) compute(ctx context.Context, r *Request, paths [][]int32, keys []string, missing []int, rows map[string][]float32, D int) error {
	if len(missing) == 0 {
		return nil
	}
	seqs := make([][]int32, len(missing))
	for k, i := range missing {
		seqs[k] = paths[i]
	}
	states, err := t.states.Hidden(ctx, seqs, t.layer)
	if err != nil {
		return err
	}
	for k, i := range missing {
		own := len(r.Sequences[i].Tokens)
		rows[keys[i]] = states[k][len(states[k])-own*D:]
		t.keep(keys[i], rows[keys[i]], own)
	}
	return nil
}

// paths returns, for each sequence, its tokens after those it continues.
func paths(seqs []model.Sequence) [][]int32 {
	all := make([][]int32, len(seqs))
	for i, s := range seqs {
		if s.Prefix == 0 {
			all[i] = s.Tokens
			continue
		}
		parent := s.Prefix - 1
		n := s.PrefixLen
		if n == 0 {
			n = len(seqs[parent].Tokens)
		}
		before := all[parent][:len(all[parent])-len(seqs[parent].Tokens)+n]
		all[i] = slices.Concat(before, s.Tokens)
	}
	return all
}

// key names the rows of the last own tokens of a path. The kernels are part of
// it, since each adds in its own order.
func (t *Trunk) key(r *Request, path []int32, own int) string {
	b := make([]byte, 0, 4*len(path))
	for _, id := range path {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return fmt.Sprintf("trunk 1: base %s, layer %d, %s, %s, last %d of tokens %x", r.Base, t.layer, r.Precision, kernel.Implementation(), own, sha256.Sum256(b))
}

// read returns n values from disk, or nil.
func (t *Trunk) read(key string, n int) []float32 {
	data, ok, err := t.cache.Get(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.check(err)
	if !ok || len(data) != 4*n {
		return nil
	}
	t.use(key, len(data))
	t.stats.Read += int64(n / t.Info().Config.HiddenSize)
	return floatsOf(data)
}

// use notes that an entry belongs to this run.
func (t *Trunk) use(key string, bytes int) {
	if _, ok := t.used[key]; !ok {
		t.used[key] = bytes
		t.inUse += int64(bytes) + trunkEntry
	}
}

// keep writes rows to disk if there is room.
func (t *Trunk) keep(key string, rows []float32, tokens int) {
	bytes := int64(4*len(rows)) + trunkEntry
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Computed += int64(tokens)
	if _, ok := t.used[key]; t.broken || !ok && t.inUse+bytes > t.most {
		return
	}
	err := t.cache.Put(key, appendFloats(make([]byte, 0, 4*len(rows)), rows))
	if err == nil {
		t.use(key, 4*len(rows))
		t.stats.Kept += int64(tokens)
		if t.total += bytes; t.total > t.most {
			var freed int64
			_, freed, err = t.cache.Prune(t.most)
			t.total -= freed
		}
	}
	t.check(err)
}

// check ends the use of files that cannot be used, which is no failure.
func (t *Trunk) check(err error) {
	if err != nil && !t.broken {
		t.broken = true
		t.report("no more hidden states are kept: %v", err)
	}
}
