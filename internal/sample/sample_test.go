package sample

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/store"
)

// fake puts shell scripts under the names of programs on a PATH of its own,
// and gives the test a home. Each script appends its name and arguments to a
// log, whose path is returned.
func fake(t *testing.T, programs map[string]string) (log string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	t.Setenv(store.HomeVar, filepath.Join(dir, "home"))
	for name, script := range programs {
		text := "#!/bin/sh\necho \"" + name + " $*\" >>'" + log + "'\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return log
}

// Programs. The shell's own commands suffice, as PATH has nothing else.
const (
	// cloneWorks makes a file in the folder that is the last argument; the
	// folder above it is there.
	cloneWorks = `for to; do :; done; echo bare >"$to"`
	// pipWorks makes a source archive in the folder after --dest.
	pipWorks = `while [ "$1" != --dest ]; do shift; done; echo archive >"$2/pyjwt-2.10.1.tar.gz"`
	// fails leaves half of a clone behind.
	fails    = `for to; do :; done; echo half >"$to"; echo starting; echo "fatal: no route" >&2; exit 128`
	pipFails = `while [ "$1" != --dest ]; do shift; done; echo half >"$2/half"; echo "ERROR: no index"; exit 1`
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fetch returns the path, relative to the program's folder, and the notices.
func fetch(t *testing.T, ctx context.Context) (string, []string, error) {
	t.Helper()
	var notices []string
	path, err := Fetch(ctx, func(s string) { notices = append(notices, s) })
	if err != nil {
		return path, notices, err
	}
	rel, relErr := filepath.Rel(store.Root(), path)
	if relErr != nil {
		t.Fatal(relErr)
	}
	if got := Present(); got != path {
		t.Errorf("present: got %q, want %q", got, path)
	}
	return filepath.ToSlash(rel), notices, nil
}

// contents lists the folder of the sample without its lock.
func contents(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(store.Root(), "sample"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

// TestSplit holds that the demo shows nothing that was trained on.
func TestSplit(t *testing.T) {
	if got := dataset.SplitOf(Name); got != dataset.Test {
		t.Errorf("%s is of the %s split, want test", Name, got)
	}
}

func TestFetchGit(t *testing.T) {
	log := fake(t, map[string]string{"git": cloneWorks, "pip": pipWorks})
	if got := Present(); got != "" {
		t.Errorf("present before the first fetch: %q", got)
	}
	path, notices, err := fetch(t, context.Background())
	if err != nil || path != "sample/clone" {
		t.Fatalf("got %q, %v, want sample/clone", path, err)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "fetching jpadilla/pyjwt 2.10.1, once, by git") {
		t.Errorf("notices: %q", notices)
	}
	calls := read(t, log)
	if want := "git clone --quiet --bare --depth 1 --branch 2.10.1 https://github.com/jpadilla/pyjwt "; !strings.HasPrefix(calls, want) {
		t.Errorf("called %q, want %q", calls, want)
	}
	if got := contents(t); got != "clone" {
		t.Errorf("folder has %q, want the clone alone", got)
	}

	// What is there is used, in silence.
	path, notices, err = fetch(t, context.Background())
	if err != nil || path != "sample/clone" || len(notices) != 0 {
		t.Errorf("second time: got %q, %q, %v, want sample/clone and no word", path, notices, err)
	}
	if got := read(t, log); got != calls {
		t.Errorf("second time: called %q", strings.TrimPrefix(got, calls))
	}
}

func TestFetchPip(t *testing.T) {
	for _, c := range []struct {
		name     string
		programs map[string]string
		want     string // calls of pip
	}{
		{"pip", map[string]string{"git": fails, "pip": pipWorks}, "pip download"},
		{"pip3", map[string]string{"git": fails, "pip3": pipWorks}, "pip3 download"},
		{"python3", map[string]string{"git": fails, "pip": pipFails, "python3": pipWorks}, "python3 -m pip download"},
		{"no git", map[string]string{"pip": pipWorks}, "pip download"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := fake(t, c.programs)
			path, notices, err := fetch(t, context.Background())
			if err != nil || path != "sample/source.tar.gz" {
				t.Fatalf("got %q, %v, want sample/source.tar.gz", path, err)
			}
			if len(notices) != 2 || !strings.HasSuffix(notices[1], "; trying its source distribution through pip") {
				t.Errorf("notices: %q", notices)
			}
			calls := strings.Split(strings.TrimSpace(read(t, log)), "\n")
			last := calls[len(calls)-1]
			if !strings.HasPrefix(last, c.want+" --quiet --no-deps --no-binary=:all: --dest ") || !strings.HasSuffix(last, " PyJWT==2.10.1") {
				t.Errorf("called %q, want %q", last, c.want)
			}
			if got := contents(t); got != "source.tar.gz" {
				t.Errorf("folder has %q, want the archive alone", got)
			}
			if got := read(t, Present()); got != "archive\n" {
				t.Errorf("archive: %q", got)
			}
		})
	}
}

func TestFetchFails(t *testing.T) {
	for _, c := range []struct {
		name     string
		programs map[string]string
		want     []string
	}{
		{"both", map[string]string{"git": fails, "pip": pipFails},
			[]string{"fetching jpadilla/pyjwt 2.10.1: ", "git clone: exit status 128: fatal: no route", "pip download: exit status 1: ERROR: no index", "python3 is not installed"}},
		{"nothing there", nil, []string{"git", "pip is not installed", "pip3 is not installed", "python3 is not installed"}},
		{"no archive", map[string]string{"git": fails, "pip": "exit 0"}, []string{"fatal: no route", "pip gave 0 source archives, want 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake(t, c.programs)
			path, _, err := fetch(t, context.Background())
			if err == nil {
				t.Fatalf("got %q, want an error", path)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if got := contents(t); got != "" || Present() != "" {
				t.Errorf("folder has %q, want nothing", got)
			}
		})
	}
}

// TestFetchInterrupted interrupts each program: it is killed, nothing is left,
// and the next fetch works.
func TestFetchInterrupted(t *testing.T) {
	for _, name := range []string{"git", "pip"} {
		t.Run(name, func(t *testing.T) {
			waits := `for to; do :; done; while [ $# -gt 0 ]; do [ "$1" = --dest ] && to=$2/half; shift; done; echo half >"$to"; echo up >"$UP"; while :; do :; done`
			programs := map[string]string{"git": fails, name: waits}
			fake(t, programs)
			up := filepath.Join(t.TempDir(), "up")
			if err := os.WriteFile(up, nil, 0o666); err != nil {
				t.Fatal(err)
			}
			t.Setenv("UP", up)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() { // when the program is in the middle of its work
				for ctx.Err() == nil {
					if data, _ := os.ReadFile(up); len(data) > 0 {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
			}()
			if path, _, err := fetch(t, ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %q, %v, want %v", path, err, context.Canceled)
			}
			if got := contents(t); got != "" || Present() != "" {
				t.Errorf("folder has %q, want nothing", got)
			}
			home := os.Getenv(store.HomeVar)
			fake(t, map[string]string{"git": cloneWorks})
			t.Setenv(store.HomeVar, home)
			if path, _, err := fetch(t, context.Background()); err != nil || path != "sample/clone" {
				t.Errorf("the next fetch: got %q, %v, want sample/clone", path, err)
			}
		})
	}
}
