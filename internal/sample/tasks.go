package sample

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
)

// Assertions returns up to n assertions of a repository's tests, from
// different files where there are enough, in an order that is arbitrary but
// stable, so that nobody picked them. Prefixes are cut to maxLines lines.
func Assertions(ctx context.Context, s *gitrepo.Snapshot, n, maxLines int) ([]dataset.Task, error) {
	var files []gitrepo.File
	for _, f := range s.Files {
		if dataset.IsTestFile(f.Path) {
			files = append(files, f)
		}
	}
	var all []dataset.Task
	err := s.Each(ctx, files, func(f gitrepo.File, text []byte) error {
		tasks, _ := dataset.Extract(f.Path, text)
		all = append(all, tasks...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b dataset.Task) int { return cmp.Compare(rank(a), rank(b)) })
	// The first task of each file, then the second of each, and so on.
	perFile := map[string]int{}
	type candidate struct {
		round int
		task  dataset.Task
	}
	candidates := make([]candidate, len(all))
	for i, t := range all {
		candidates[i] = candidate{perFile[t.File], t}
		perFile[t.File]++
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return a.round - b.round })
	var picked []dataset.Task
	for _, c := range candidates[:min(max(0, n), len(candidates))] {
		c.task.Prefix = lastLines(c.task.Prefix, maxLines)
		picked = append(picked, c.task)
	}
	return picked, nil
}

// rank is a number that says nothing about a task.
func rank(t dataset.Task) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d", t.File, t.Start))
	return binary.LittleEndian.Uint64(sum[:])
}

// lastLines returns the last n lines of s, n at least 1; the text after the
// last newline is one, even if it is empty.
func lastLines(s string, n int) string {
	at := len(s)
	for range max(1, n) {
		if at = strings.LastIndexByte(s[:at], '\n'); at < 0 {
			return s
		}
	}
	return s[at+1:]
}
