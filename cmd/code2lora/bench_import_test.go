package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

func TestParentFinder(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(dir, "a.py"), fmt.Appendf(nil, "x = %d\n", i), 0o666); err != nil {
			t.Fatal(err)
		}
		id, err := commit(dir)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	notes := ""
	p := &parentFinder{note: func(format string, args ...any) { notes += fmt.Sprintf(format, args...) + "\n" },
		open: func(ctx context.Context, name string) (*gitrepo.Repo, error) {
			if name != "owner/name" {
				return nil, errors.New("no clone")
			}
			return gitrepo.Open(ctx, dir, gitrepo.Options{Name: name})
		}}
	defer p.close()
	for _, tt := range []struct {
		repository   string
		track        repopeft.Track
		commit, want string
	}{
		{"owner/name", repopeft.Evolution, ids[1], ids[0]},
		{"owner/name", repopeft.OOD, ids[1], ids[0]},
		{"owner/name", repopeft.Static, ids[1], ids[1]},
		{"owner/name", repopeft.Evolution, ids[0], ""},
		{"owner/name", repopeft.Evolution, strings.Repeat("0", 40), ""},
		{"owner/other", repopeft.Static, ids[1], ""},
	} {
		got, err := p.find(t.Context(), &repopeft.Task{Repository: tt.repository, Track: tt.track, Commit: tt.commit})
		if err != nil || got != tt.want {
			t.Errorf("%s, %s, %s: got %q, error %v, want %q", tt.repository, tt.track, tt.commit, got, err, tt.want)
		}
	}
	if strings.Count(notes, "\n") != 2 || !strings.Contains(notes, "owner/name at 000000000000") || !strings.Contains(notes, "owner/other are without context: no clone") {
		t.Errorf("notes are\n%s", notes)
	}
}
