package mine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/syntax"
)

// The folders that the paper's code leaves out, of the static and of the
// evolution track.
var (
	skipStatic = set(`.git __pycache__ node_modules .tox .eggs .mypy_cache .pytest_cache venv .venv env .nox .hg .svn site-packages`)
	skipCommit = set(`.git __pycache__ .venv venv env node_modules dist build .tox .mypy_cache TEST_HYPERNET`)
)

// skippedFolder tells whether a part of the path is in a set.
func skippedFolder(path string, skip map[string]bool) bool {
	for part := range strings.SplitSeq(path, "/") {
		if skip[part] {
			return true
		}
	}
	return false
}

// paperText is how the paper's code decodes a file.
func paperText(raw []byte) string { return strings.ToValidUTF8(string(raw), "\uFFFD") }

// isPaperTestCheap is the part of the paper's rule for test files that needs no
// parser: "test" on the path, or pytest or unittest in the text.
func isPaperTestCheap(path, text string) bool {
	if gitrepo.IsTestPathLoose(path) {
		return true
	}
	text = strings.ToLower(text)
	for _, s := range []string{"import pytest", "from pytest", "pytest.", "import unittest", "from unittest", "unittest."} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// definesTest is the rest of the rule: a function test_*, or a class with "test"
// in its name.
func definesTest(o *syntax.Outline) bool {
	return slices.ContainsFunc(o.Definitions, func(d syntax.Definition) bool {
		if d.Class {
			return strings.Contains(strings.ToLower(d.Name), "test")
		}
		return strings.HasPrefix(d.Name, "test_")
	})
}

// paperTests returns the files that are tests at a commit by the paper's rule
// about their contents, and a digest of the list.
func (r Rules) paperTests(ctx context.Context, repo *gitrepo.Repo, commitID string) (map[string]bool, string, error) {
	snap, err := repo.Snapshot(ctx, commitID, gitrepo.Filter{MaxBytes: int64(r.MaxFileBytes), KeepVendored: true, KeepGenerated: true})
	if err != nil {
		return nil, "", err
	}
	blobs, err := repo.Blobs(ctx)
	if err != nil {
		return nil, "", err
	}
	defer blobs.Close()
	tests, h := map[string]bool{}, sha256.New()
	for _, f := range snap.Files {
		if skippedFolder(f.Path, skipStatic) {
			continue
		}
		raw, reason, err := content(blobs, f.BlobID, r.MaxFileBytes)
		if err != nil {
			return nil, "", err
		}
		if reason != "" {
			continue
		}
		text := paperText(raw)
		is := isPaperTestCheap(f.Path, text)
		if !is && strings.Contains(strings.ToLower(text), "test") {
			o, err := syntax.ParseLanguage("python", []byte(text))
			is = err == nil && o.Errors == 0 && definesTest(o)
		}
		if is {
			tests[f.Path] = true
			fmt.Fprintf(h, "%s\x00", f.Path)
		}
	}
	return tests, hex.EncodeToString(h.Sum(nil)[:8]), nil
}
