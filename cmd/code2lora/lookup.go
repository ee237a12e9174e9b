package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/code2lora/code2lora/internal/engine"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/store"
)

// lookup says where drafts of a completion come from.
type lookup struct{ mode, repo string }

func (l *lookup) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.mode, "lookup", "auto", "`auto`: propose what followed the last tokens where they appeared before, and verify it in one pass, which changes speed only; off: decode token by token")
	f.StringVar(&l.repo, "lookup-repo", "", "look in the files of `REPO`, too")
}

func (l *lookup) validate() error {
	switch {
	case l.mode != "auto" && l.mode != "off":
		return fmt.Errorf("%w: complete: --lookup is %q, want auto or off", errUsage, l.mode)
	case l.mode == "off" && l.repo != "":
		return fmt.Errorf("%w: complete: --lookup-repo needs --lookup auto", errUsage)
	}
	return nil
}

// errFull ends the reading of a repository.
var errFull = errors.New("the index is full")

// index reads the repository to look in; it is nil without one.
func (l *lookup) index(ctx context.Context, b *base) (*engine.Index, error) {
	if l.repo == "" {
		return nil, nil
	}
	repo, err := gitrepo.Open(ctx, l.repo, gitrepo.Options{AllowNetwork: networkAllowed(), CacheDir: store.Clones()})
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	snap, err := repo.Snapshot(ctx, "", gitrepo.Filter{})
	if err != nil {
		return nil, err
	}
	var texts [][]int32
	total := 0
	err = snap.Each(ctx, snap.Files, func(_ gitrepo.File, text []byte) error {
		texts = append(texts, b.tokenizer.Encode(string(text)))
		if total += len(texts[len(texts)-1]) + 1; total > engine.MaxIndexTokens {
			return errFull
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	x := engine.NewIndex(total)
	for _, t := range texts {
		x.Add(t)
	}
	return x, nil
}
