package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestIndexFind compares look-ups in a random text of few different tokens with
// a search of the whole text.
func TestIndexFind(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	x := newIndex(2, 200)
	var text []int32
	for range 200 {
		text = append(text, int32(rng.IntN(9)))
		x.append(text[len(text)-1:])
		at, matched := x.find(text, len(text)-1)
		wantAt, want := 0, 0
		for end := len(text) - 1; end > 0; end-- {
			n := 0
			for n < longest && n < end && text[end-1-n] == text[len(text)-1-n] {
				n++
			}
			if n >= 2 && n > want {
				wantAt, want = end, n
			}
		}
		if at != wantAt || matched != want {
			t.Fatalf("after %v: place %d of %d tokens, want %d of %d", text, at, matched, wantAt, want)
		}
	}
}

// TestIndexTexts checks that matches and drafts stay inside a text.
func TestIndexTexts(t *testing.T) {
	x := NewIndex(0)
	for _, text := range [][]int32{{1, 2, 3, 4, 5}, {}, {7, 1, 2, 3, 9}, {3, 4}} {
		if !x.Add(text) {
			t.Fatalf("no room for %v", text)
		}
	}
	for _, tt := range []struct {
		text, want []int32
		matched    int
	}{
		{[]int32{0, 1, 2, 3}, []int32{9}, 3},         // the latest
		{[]int32{7, 1, 2, 3}, []int32{9}, 4},         // the longest
		{[]int32{2, 3, 4}, []int32{5}, 3},            // not what follows the end of a text
		{[]int32{3, 4, 5}, nil, 3},                   // nothing follows
		{[]int32{5, 7, 1}, nil, 0},                   // over two texts
		{[]int32{2, 3}, nil, 0},                      // too short
		{[]int32{8, 8, 8}, nil, 0},                   // nowhere
		{[]int32{1, 2, 3, 4}, []int32{5}, 4},         // the longest is not the latest
		{[]int32{separator, 2, 3, 4}, []int32{5}, 3}, // no token is alike
	} {
		at, matched := x.find(tt.text, x.Len())
		var got []int32
		if matched > 0 {
			got = x.draft(nil, at, 4, false)
		}
		if !slices.Equal(got, tt.want) || matched != tt.matched {
			t.Errorf("%v: got %v after %d tokens, want %v after %d", tt.text, got, matched, tt.want, tt.matched)
		}
	}
	if testing.Short() {
		return
	}
	big := make([]int32, MaxIndexTokens-x.Len()-3)
	if !x.Add(big) || x.Add([]int32{1, 2, 3}) || x.Add([]int32{1}) {
		t.Error("want room for one token less than there is")
	}
	if x.Len() != MaxIndexTokens {
		t.Errorf("%d tokens, want %d", x.Len(), MaxIndexTokens)
	}
}

// TestDraftRepeats continues a text whose end is repeated.
func TestDraftRepeats(t *testing.T) {
	d := newDrafter(8, nil)
	d.own.append([]int32{5, 1, 2, 3, 1, 2, 3})
	d.size = 8
	if got, want := d.next(7), []int32{1, 2, 3, 1, 2, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := d.next(0); len(got) != 0 {
		t.Errorf("no room: got %v", got)
	}
}

// TestDrafterGivesUp counts what is drafted when nothing is ever accepted.
func TestDrafterGivesUp(t *testing.T) {
	d := newDrafter(200, nil)
	drafted := 0
	for range 200 {
		d.own.append([]int32{1})
		n := len(d.next(mostDraft))
		drafted += n
		d.learn(n, 0)
	}
	if drafted == 0 || drafted > 14 {
		t.Errorf("%d tokens drafted for 200 steps, want a few", drafted)
	}
	// And it comes back when drafts are good.
	for range 60 {
		d.own.append([]int32{1})
		n := len(d.next(mostDraft))
		d.learn(n, n)
	}
	if d.size != mostDraft {
		t.Errorf("after good drafts they have %d tokens, want %d", d.size, mostDraft)
	}
}

// TestLookup demands the same answers with drafts, from the text and from a
// repository, as without, to the bit; and that some are accepted.
func TestLookup(t *testing.T) {
	e := load(t, "tiny-llama")
	h := handle(t, e, seeded(e, 4))
	for name, o := range map[string]Options{
		"greedy":  {MaxTokens: 60},
		"sampled": {MaxTokens: 60, Temperature: 0.7, Seed: 5},
		"stop":    {MaxTokens: 60, Stop: []string{"e", "zz"}},
	} {
		t.Run(name, func(t *testing.T) {
			drafted, accepted := 0, 0
			for i := range 6 {
				r := Request{Prompt: Prompt{Prefix: strings.Repeat(code, 1+i%3) + fmt.Sprint(i)}, Options: o}
				if i%2 == 1 {
					r.Adapter = h
				}
				want := alone(t, e, r)
				c, err := plain(e).Do(context.Background(), r)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(answer(c), want) {
					t.Errorf("%d: got %+v, without drafts %+v", i, answer(c), want)
				}
				// A repository that has the answer, and one that misleads.
				r.Index = NewIndex(0)
				r.Index.Add(append(e.Tokenizer.Encode(r.Prompt.Prefix), want.Tokens...))
				with, err := plain(e).Do(context.Background(), r)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(answer(with), want) {
					t.Errorf("%d, with an index: got %+v, want %+v", i, answer(with), want)
				}
				if name == "greedy" && with.Accepted < len(want.Tokens)/3 {
					t.Errorf("%d: %d of %d tokens accepted from a repository that has them", i, with.Accepted, len(want.Tokens))
				}
				drafted, accepted = drafted+c.Drafted, accepted+c.Accepted
			}
			if name == "greedy" && (drafted == 0 || accepted == 0 || accepted > drafted) {
				t.Errorf("%d tokens drafted, %d accepted", drafted, accepted)
			}
		})
	}
}
