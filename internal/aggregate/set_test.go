package aggregate

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var setOptions = Options{Dim: 5, Max: true, Second: true, Cross: 2}

// blobFile is a file whose content is a number.
func blobFile(name string, content int) File {
	id := sha1.Sum(fmt.Append(nil, content))
	return File{Path: name, Blob: hex.EncodeToString(id[:]), Size: int64(content)}
}

// vectors is a Source that makes each blob's vector of its id. Every fifth blob
// is no text, every seventh too short. It counts what it is asked for.
type vectors struct{ asked int }

func (s *vectors) source(ctx context.Context, files []File, fn func(string, Vector) error) error {
	for _, f := range files {
		s.asked++
		if f.Size%5 == 4 {
			continue
		}
		v := Vector{}
		if f.Size%7 != 6 {
			id, _ := hex.DecodeString(f.Blob)
			rng := rand.New(rand.NewPCG(uint64(id[0])<<8|uint64(id[1]), uint64(id[2])))
			v = Vector{X: make([]float32, setOptions.Dim), Y: make([]float32, setOptions.Cross), Tokens: int(f.Size) + 10}
			for i := range v.X {
				v.X[i] = float32(rng.IntN(4)) / 3
			}
			for i := range v.Y {
				v.Y[i] = float32(rng.NormFloat64())
			}
		}
		if err := fn(f.Blob, v); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func scratch(t fataler, files []File) *Set {
	s, err := NewSet(setOptions)
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.Change(context.Background(), nil, files, (&vectors{}).source)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sameSet compares sets bit for bit, and their bytes, and reads these back.
func sameSet(t fataler, what string, got, want *Set) {
	a, err := got.MarshalBinary()
	if err != nil {
		t.Fatal(what, err)
	}
	b, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(what, err)
	}
	var back Set
	if err := back.UnmarshalBinary(a); err != nil || !back.Equal(want) {
		t.Fatal(what, ": read back: ", err)
	}
	if !got.Equal(want) || !bytes.Equal(a, b) {
		t.Fatal(what, ": got", got.files, "want", want.files)
	}
}

// tree is the files of a commit, content by path.
type tree map[string]int

func (c tree) files() (files []File) {
	for p, n := range c {
		files = append(files, blobFile(p, n))
	}
	return files
}

func (c tree) clone() tree {
	d := tree{}
	for p, n := range c {
		d[p] = n
	}
	return d
}

// to returns what goes and comes between two trees.
func (c tree) to(d tree) (gone, came []File) {
	for p, n := range c {
		if m, ok := d[p]; !ok || m != n {
			gone = append(gone, blobFile(p, n))
		}
	}
	for p, n := range d {
		if m, ok := c[p]; !ok || m != n {
			came = append(came, blobFile(p, n))
		}
	}
	return gone, came
}

// TestSetHistories goes through random histories of a repository, with merges,
// reverts and branch switches, and compares each commit with the set from
// scratch.
func TestSetHistories(t *testing.T) {
	ctx := context.Background()
	name := rapid.SampledFrom([]string{"a.py", "b.py", "lib/a.py", "lib/b.py", "lib/deep/c.py", "other/d.py"})
	rapid.Check(t, func(t *rapid.T) {
		commits, at := []tree{{}}, 0 // all that were made, of all branches
		s, src := scratch(t, nil), (&vectors{}).source
		checkout := func(d tree) {
			gone, came := commits[at].to(d)
			next, err := s.Change(ctx, gone, came, src)
			if err != nil {
				t.Fatal(err)
			}
			commits, at, s = append(commits, d), len(commits), next
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				d := commits[at].clone()
				for range rapid.IntRange(0, 4).Draw(t, "files") {
					p := name.Draw(t, "path")
					if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
						delete(d, p)
					} else {
						d[p] = rapid.IntRange(0, 20).Draw(t, "content")
					}
				}
				checkout(d)
			},
			"rename": func(t *rapid.T) {
				d := commits[at].clone()
				from, to := name.Draw(t, "from"), name.Draw(t, "to")
				if n, ok := d[from]; ok {
					delete(d, from)
					d[to] = n
				}
				checkout(d)
			},
			"switch": func(t *rapid.T) { // a branch, a revert, a forced push
				checkout(rapid.SampledFrom(commits).Draw(t, "to"))
			},
			"merge": func(t *rapid.T) {
				d := commits[at].clone()
				for p, n := range rapid.SampledFrom(commits).Draw(t, "with") {
					d[p] = max(d[p], n)
				}
				checkout(d)
			},
			"": func(t *rapid.T) {
				sameSet(t, "commit", s, scratch(t, commits[at].files()))
			},
		})
	})
}

// TestSetAlgebra forgets a file, takes a folder, and adds another repository.
func TestSetAlgebra(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.Custom(func(t *rapid.T) File {
			return blobFile(rapid.SampledFrom([]string{"a.py", "lib/a.py", "lib/b.py", "lib2/c.py"}).Draw(t, "path"), rapid.IntRange(0, 12).Draw(t, "content"))
		})
		a, b := rapid.SliceOfN(file, 0, 8).Draw(t, "a"), rapid.SliceOfN(file, 0, 8).Draw(t, "b")
		src := (&vectors{}).source
		s, o := scratch(t, a), scratch(t, b)
		both, err := s.Merge(o)
		if err != nil {
			t.Fatal(err)
		}
		sameSet(t, "merged", both, scratch(t, slices.Concat(b, a)))
		back, err := both.Subtract(ctx, o, src)
		if err != nil {
			t.Fatal(err)
		}
		sameSet(t, "subtracted", back, s)
		for _, keep := range []func(File) bool{
			func(f File) bool { return f.Path != "lib/a.py" },
			func(f File) bool { return strings.HasPrefix(f.Path, "lib/") },
			func(f File) bool { return path.Dir(f.Path) == "nowhere" },
		} {
			got, err := both.Keep(ctx, keep, src)
			if err != nil {
				t.Fatal(err)
			}
			var want []File
			for _, f := range slices.Concat(a, b) {
				if keep(f) {
					want = append(want, f)
				}
			}
			sameSet(t, "kept", got, scratch(t, want))
		}
		sameSet(t, "unchanged", s, scratch(t, a))
	})
}

// TestSetAsks holds that a change asks for what changed only.
func TestSetAsks(t *testing.T) {
	ctx, src := context.Background(), &vectors{}
	var files []File
	for i := range 30 {
		files = append(files, blobFile(fmt.Sprintf("%d.py", i), i))
	}
	s := scratch(t, files)
	// A rename, and a copy of a file without vector, ask for nothing.
	next, err := s.Change(ctx, files[:1], []File{{Path: "new.py", Blob: files[0].Blob}, {Path: "copy.py", Blob: files[6].Blob}}, src.source)
	if err != nil || src.asked != 0 {
		t.Fatalf("a rename asked for %d vectors, %v", src.asked, err)
	}
	want := slices.Concat(files[1:], []File{blobFile("new.py", 0), blobFile("copy.py", 6)})
	sameSet(t, "renamed", next, scratch(t, want))
	if _, err := next.Change(ctx, nil, []File{blobFile("added.py", 31)}, src.source); err != nil || src.asked != 1 {
		t.Errorf("an added file asked for %d vectors, %v; want one", src.asked, err)
	}
	if s.Tokens() != next.Tokens() || s.Tokens() == 0 {
		t.Errorf("%d tokens, then %d", s.Tokens(), next.Tokens())
	}
}

func TestSetRefuses(t *testing.T) {
	files := []File{blobFile("a.py", 1), blobFile("b.py", 2), blobFile("c.py", 4)}
	s := scratch(t, files)
	give := func(v Vector, blobs ...string) Source {
		return func(_ context.Context, _ []File, fn func(string, Vector) error) error {
			for _, b := range blobs {
				if err := fn(b, v); err != nil {
					return err
				}
			}
			return nil
		}
	}
	broken := errors.New("disk on fire")
	x, y := make([]float32, 5), make([]float32, 2)
	for name, tt := range map[string]struct {
		gone, came []File
		src        Source
		want       error
		text       string
	}{
		"absent path":     {gone: []File{blobFile("d.py", 1)}, want: ErrAbsent, text: `"d.py"`},
		"absent blob":     {gone: []File{blobFile("a.py", 3)}, want: ErrAbsent, text: `"a.py"`},
		"twice":           {gone: []File{files[0], files[0]}, want: ErrAbsent, text: `"a.py"`},
		"no id":           {came: []File{{Path: "x", Blob: "HEAD"}}, text: `"HEAD"`},
		"upper case":      {came: []File{{Path: "x", Blob: strings.ToUpper(files[0].Blob)}}, text: "not one of git's"},
		"no path":         {came: []File{{Blob: files[0].Blob}}, text: "want a path"},
		"source fails":    {gone: files[:1], src: func(context.Context, []File, func(string, Vector) error) error { return broken }, want: broken},
		"not given":       {gone: files[:1], src: give(Vector{}), want: ErrVector, text: "any more"},
		"no vector now":   {gone: files[:1], src: give(Vector{}, files[0].Blob), want: ErrVector, text: "0 tokens, not 11"},
		"other tokens":    {gone: files[:1], src: give(Vector{X: x, Y: y, Tokens: 5}, files[0].Blob), want: ErrVector},
		"not asked":       {gone: files[:1], src: give(Vector{X: x, Y: y, Tokens: 11}, files[1].Blob), text: "not asked for"},
		"larger":          {gone: files[:1], src: give(Vector{X: []float32{9, 9, 9, 9, 9}, Y: y, Tokens: 11}, files[0].Blob), want: ErrAbsent},
		"length":          {came: []File{blobFile("d.py", 3)}, src: give(Vector{X: x[:1], Tokens: 5}, blobFile("", 3).Blob), want: ErrValue},
		"negative tokens": {came: []File{blobFile("d.py", 3)}, src: give(Vector{X: x, Y: y, Tokens: -1}, blobFile("", 3).Blob), text: "-1 tokens"},
	} {
		src := tt.src
		if src == nil {
			src = (&vectors{}).source
		}
		_, err := s.Change(context.Background(), tt.gone, tt.came, src)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %v with %q", name, err, tt.want, tt.text)
		}
	}
	if _, err := s.Subtract(context.Background(), scratch(t, []File{blobFile("a.py", 2)}), nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("Subtract: got %v", err)
	}
	other, err := NewSet(Options{Dim: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Merge(other); !errors.Is(err, ErrOptions) {
		t.Errorf("Merge: got %v", err)
	}
	sameSet(t, "after refusals", s, scratch(t, files))
}

func TestSetCorrupt(t *testing.T) {
	s := scratch(t, []File{blobFile("a.py", 1), blobFile("b.py", 2), blobFile("b.py", 2)})
	data, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got Set
	for i := range data {
		if err := got.UnmarshalBinary(data[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: got %v", i, err)
		}
		flipped := slices.Clone(data)
		flipped[i] ^= 1
		if err := got.UnmarshalBinary(flipped); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: got %v", i, err)
		}
	}
	// Damage below the checksum.
	for name, damage := range map[string]func(*Set){
		"order":    func(s *Set) { slices.Reverse(s.files) },
		"unread":   func(s *Set) { s.files[0].Read = false },
		"two ways": func(s *Set) { s.files[1].Tokens++ },
		"no path":  func(s *Set) { s.files[0].Path = "" },
		"id":       func(s *Set) { s.files[0].Blob = "ab" },
		"count":    func(s *Set) { s.sums.count-- },
		"maximum":  func(s *Set) { s.sums.max[0] = 7 * Limit },
		"sum":      func(s *Set) { s.sums.sum[0].hi = 1 << 50 },
		"moment":   func(s *Set) { s.sums.second[0].hi = -1 },
	} {
		bad := &Set{slices.Clone(s.files), s.sums.Clone()}
		damage(bad)
		data, err := bad.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := got.UnmarshalBinary(data); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func FuzzSet(f *testing.F) {
	for n := range 4 {
		var files []File
		for i := range n * 3 {
			files = append(files, blobFile(fmt.Sprint(i%4), i))
		}
		data, err := scratch(f, files).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:len(data)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		data := append(slices.Clone(body), sum[:]...)
		var s Set
		if err := s.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("written again: %x, %v; want %x", again, err, data)
		}
	})
}
