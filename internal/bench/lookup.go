package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/code2lora/code2lora/internal/engine"
)

// lookup measures completions of a test file whose cases resemble each other,
// with and without drafts. The prompt is read once, in the turn that doesn't
// count, and comes from the prompt cache then.
func (r *runner) lookup(ctx context.Context, s *subject) error {
	e := &engine.Engine{Model: s.Model, Tokenizer: s.tokenizer}
	prompt := testFile(12)
	var tokens, drafted, accepted int
	complete := func(noLookup bool) run {
		return func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			c, err := e.Do(ctx, engine.Request{Prompt: engine.Prompt{Prefix: prompt},
				Options: engine.Options{MaxTokens: decodeTokens, NoLookup: noLookup}})
			took := time.Since(began)
			if err != nil {
				return 0, err
			}
			tokens = len(c.Tokens) + 1 // and the one that ends the text, or that the limit did not take
			if !noLookup {
				drafted, accepted = c.Drafted, c.Accepted
			}
			return took, nil
		}
	}
	seconds, err := turns(ctx, r.Rounds, complete(false), complete(true))
	if err != nil {
		return err
	}
	r.add(s.figure(Lookup, fmt.Sprintf("drafts, %d of %d tokens accepted", accepted, drafted), float64(tokens), seconds[0]), nil)
	r.add(s.figure(Lookup, "no drafts", float64(tokens), seconds[1]), nil)
	r.add(s.ratio(Lookup, "drafts to none", seconds[1], seconds[0]), nil)
	return nil
}

// testFile returns the beginning of a Python test file with some cases, ending
// inside another one.
func testFile(cases int) string {
	rng := rand.New(rand.NewPCG(11, 12))
	var b strings.Builder
	b.WriteString("import unittest\n\nfrom shop.cart import Cart\n\n\nclass CartTest(unittest.TestCase):\n    def setUp(self):\n        self.cart = Cart()\n")
	words := []string{"apple", "pear", "plum", "bread", "milk", "salt"}
	for i := range cases {
		w, n := words[rng.IntN(len(words))], 1+rng.IntN(9)
		fmt.Fprintf(&b, "\n    def test_add_%s_%d(self):\n", w, i)
		if i < cases-1 {
			fmt.Fprintf(&b, "        self.cart.add(%q, quantity=%d)\n        self.assertEqual(self.cart.total(), %d)\n", w, n, n*7)
		}
	}
	return b.String()
}
