package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/code2lora/code2lora/internal/adapter"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/runs"
)

// checkpoint is a loaded hypernetwork checkpoint.
type checkpoint struct {
	*hypernet.Checkpoint
	sha256 string
}

// recurrence is a loaded checkpoint with a recurrence over commits.
type recurrence struct {
	*evolve.Checkpoint
	sha256 string
}

// builtinCheckpoint returns the name of the checkpoint that comes with the
// program for the base with the given digest, or "".
func builtinCheckpoint(baseSHA256 string) string {
	for _, c := range runs.Checkpoints {
		if c.BaseSHA256 == baseSHA256 {
			return c.Name
		}
	}
	return ""
}

// loadCheckpoint reads the checkpoint at path or, when that is empty, the one
// that comes with the program for the base. It refuses one with a recurrence.
func (a *app) loadCheckpoint(path string, b *base) (*checkpoint, error) {
	c, r, err := a.loadAny(path, b)
	if err != nil {
		return nil, err
	}
	if r != nil {
		return nil, unusable(fmt.Errorf("checkpoint %s: %w", cmp.Or(path, r.Name), hypernet.ErrRecurrent))
	}
	return c, nil
}

// loadAny is loadCheckpoint for both kinds of checkpoints: of the two that it
// returns one is nil.
func (a *app) loadAny(path string, b *base) (*checkpoint, *recurrence, error) {
	var sum string
	var err error
	if path == "" {
		path, sum, err = unpackCheckpoint(b)
	} else {
		sum, err = digestOfPath(path)
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := hypernet.Load(path)
	if errors.Is(err, hypernet.ErrRecurrent) {
		r, err := evolve.Load(path)
		if err != nil {
			return nil, nil, unusable(err)
		}
		if err := b.fits(path, r.Base, r.Head.Dims()); err != nil {
			return nil, nil, err
		}
		return nil, &recurrence{r, sum}, nil
	}
	if err != nil {
		return nil, nil, unusable(err)
	}
	if err := b.fits(path, c.Base, c.Head.Dims()); err != nil {
		return nil, nil, err
	}
	return &checkpoint{c, sum}, nil, nil
}

// fits refuses the checkpoint at path if it was trained for another base.
func (b *base) fits(path string, trained adapter.Base, dims adapter.Dims) error {
	if trained.SHA256 != b.info.SHA256 || dims != b.config.Dims() {
		return fmt.Errorf("checkpoint %s was trained for base %s (%.12s…), not for %s (%.12s…): %w",
			path, trained.Name, trained.SHA256, b.info.Name, b.info.SHA256, errNoCheckpoint)
	}
	return nil
}

// unpackCheckpoint writes the checkpoint that comes with the program for a
// base to the program's folder, unless it is there, and returns its path and its
// SHA-256.
func unpackCheckpoint(b *base) (path, sum string, err error) {
	var have []string
	for _, c := range runs.Checkpoints {
		have = append(have, c.Name)
		if c.BaseSHA256 != b.info.SHA256 {
			continue
		}
		digest := sha256.Sum256(c.Data)
		sum = hex.EncodeToString(digest[:])
		path = filepath.Join(store.Root(), "checkpoints", c.Name+"-"+sum[:16]+".safetensors")
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, c.Data) {
			return path, sum, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", sum, err
		}
		return path, sum, store.WriteFile(path, func(w io.Writer) error {
			_, err := w.Write(c.Data)
			return err
		})
	}
	if len(have) == 0 {
		return "", sum, fmt.Errorf("base %s: %w comes with this build of the program; give one with --checkpoint, or train one",
			b.info.Name, errNoCheckpoint)
	}
	return "", sum, fmt.Errorf("base %s: %w: those that come with the program are for %s; give another with --checkpoint, or train one",
		b.info.Name, errNoCheckpoint, strings.Join(have, ", "))
}
