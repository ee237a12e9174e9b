package follow

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hookOutput is the log, once it has n lines.
func hookOutput(t *testing.T, log string, n int) []string {
	t.Helper()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(log)
		if lines := strings.Split(strings.TrimSpace(string(data)), "\n"); len(data) > 0 && len(lines) >= n {
			return lines
		}
	}
	data, err := os.ReadFile(log)
	t.Fatalf("log: got %q, %v, want %d lines", data, err, n)
	return nil
}

func TestHooks(t *testing.T) {
	r := newRepo(t)
	r.commits("a")
	g := open(t, r.dir)
	log := filepath.Join(t.TempDir(), "it's a folder", "log")
	foreign := filepath.Join(r.dir, ".git", "hooks", "post-commit")
	r.write(".git/hooks/post-commit", "#!/bin/sh\necho foreign >>theirs.txt\nexit 3\n")
	if err := os.Chmod(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	// The command ends only when the commit has, and fails.
	gate := filepath.Join(t.TempDir(), "gate")
	command := []string{"sh", "-c", `while [ ! -e "$2" ]; do sleep 0.05; done; echo "ran in '$1'"; false`, "sh", "a 'b' $c", gate}
	for range 2 { // the second time replaces the first
		paths, err := InstallHooks(t.Context(), g, Hooks, command, log)
		if err != nil || len(paths) != 3 {
			t.Fatal(paths, err)
		}
	}
	r.commits("b")
	if err := os.WriteFile(gate, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := hookOutput(t, log, 1)[0]; got != "ran in 'a 'b' $c'" {
		t.Errorf("log: got %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(r.dir, "theirs.txt")); err != nil || string(data) != "foreign\n" {
		t.Errorf("the hook that was there: got %q, %v, want one line", data, err)
	}
	r.git("commit", "-q", "--amend", "-m", "amended") // post-commit and post-rewrite
	hookOutput(t, log, 3)
	r.git("checkout", "-q", "-b", "side", "main~1")
	r.git("merge", "-q", "--ff-only", "main")
	hookOutput(t, log, 4)

	removed, err := RemoveHooks(t.Context(), g)
	if err != nil || len(removed) != 3 {
		t.Fatal(removed, err)
	}
	files, err := filepath.Glob(filepath.Join(r.dir, ".git", "hooks", "post-*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f, ".sample") && f != foreign {
			t.Errorf("%s was left behind", f)
		}
	}
	if data, err := os.ReadFile(foreign); err != nil || !strings.Contains(string(data), "foreign") {
		t.Errorf("the hook that was there: got %q, %v", data, err)
	}
	if removed, err = RemoveHooks(t.Context(), g); err != nil || len(removed) != 0 {
		t.Errorf("nothing to remove: got %q, %v", removed, err)
	}
}

// TestHookFails holds that a missing program doesn't fail a commit, and is told.
func TestHookFails(t *testing.T) {
	r := newRepo(t)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, make([]byte, maxLog+1), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := InstallHooks(t.Context(), open(t, r.dir), append(Hooks, CheckoutHook), []string{"/nowhere/code2lora"}, log); err != nil {
		t.Fatal(err)
	}
	r.commits("a")
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(data), "/nowhere/code2lora") {
			if len(data) > 1000 {
				t.Errorf("the log has %d bytes, want it begun anew", len(data))
			}
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("log: %d bytes, %v", len(data), err)
		}
	}
}

func TestHooksElsewhere(t *testing.T) {
	command, log := []string{"true"}, filepath.Join(t.TempDir(), "log")
	r := newRepo(t)
	r.commits("a")
	// A folder in the work tree.
	r.git("config", "core.hooksPath", ".husky")
	if paths, err := InstallHooks(t.Context(), open(t, r.dir), Hooks, command, log); !errors.Is(err, ErrTrackedHooks) || len(paths) > 0 {
		t.Errorf("a folder that is committed: got %q, %v, want %v", paths, err, ErrTrackedHooks)
	}
	r.write(".husky/.gitignore", "*\n")
	paths, err := InstallHooks(t.Context(), open(t, r.dir), Hooks, command, log)
	if err != nil || !strings.HasSuffix(paths[0], filepath.Join("work", ".husky", "post-commit")) {
		t.Errorf("got %q, %v, want them in .husky", paths, err)
	}
	r.write(".husky/post-commit", "tracked\n")
	r.git("add", "-f", ".husky/post-commit")
	if _, err := InstallHooks(t.Context(), open(t, r.dir), Hooks, command, log); !errors.Is(err, ErrTrackedHooks) {
		t.Errorf("a hook that is tracked: got %v, want %v", err, ErrTrackedHooks)
	}
	// A linked work tree has the hooks of its repository.
	r.git("config", "--unset", "core.hooksPath")
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "-b", "side", linked)
	if paths, err = InstallHooks(t.Context(), open(t, linked), Hooks, command, log); err != nil || !strings.Contains(paths[0], filepath.Join("work", ".git", "hooks")) {
		t.Errorf("got %q, %v, want those of the repository", paths, err)
	}
	// What is shared by all repositories isn't touched.
	config := filepath.Join(t.TempDir(), "config")
	shared := t.TempDir()
	if err := os.WriteFile(config, []byte("[core]\n\thooksPath = "+shared+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	if _, err = InstallHooks(t.Context(), open(t, r.dir), Hooks, command, log); !errors.Is(err, ErrSharedHooks) {
		t.Errorf("hooks for all: got %v, want %v", err, ErrSharedHooks)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	// A bare repository.
	bare := filepath.Join(t.TempDir(), "bare.git")
	r.git("clone", "-q", "--bare", r.dir, bare)
	if paths, err = InstallHooks(t.Context(), open(t, bare), Hooks, command, log); err != nil || filepath.Dir(filepath.Dir(paths[0])) != bare {
		t.Errorf("got %q, %v, want hooks of %s", paths, err, bare)
	}
}

func TestHookRefused(t *testing.T) {
	r := newRepo(t)
	r.commits("a")
	g, log := open(t, r.dir), filepath.Join(t.TempDir(), "log")
	path := filepath.Join(r.dir, ".git", "hooks", "post-commit")
	if _, err := InstallHooks(t.Context(), g, Hooks, []string{"true"}, log); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, "echo more\n"...), 0o755); err != nil {
		t.Fatal(err)
	}
	if removed, err := RemoveHooks(t.Context(), g); !errors.Is(err, ErrForeignHook) || len(removed) != 2 {
		t.Errorf("a changed hook: got %q, %v, want the two others removed", removed, err)
	}
	for _, name := range []string{path, path + before} {
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := InstallHooks(t.Context(), g, Hooks, []string{"true"}, log); !errors.Is(err, ErrForeignHook) {
		t.Errorf("no room for the hook that is there: got %v, want %v", err, ErrForeignHook)
	}
}

// TestHookEdited holds that what a user has written into a hook of ours stays.
func TestHookEdited(t *testing.T) {
	r := newRepo(t)
	r.commits("a")
	g, log := open(t, r.dir), filepath.Join(t.TempDir(), "log")
	path := filepath.Join(r.dir, ".git", "hooks", "post-commit")
	if _, err := InstallHooks(t.Context(), g, Hooks, []string{"true"}, log); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(data), "status=0\n", "status=0\necho mine\n", 1)
	if err := os.WriteFile(path, []byte(edited), 0o755); err != nil {
		t.Fatal(err)
	}
	if paths, err := InstallHooks(t.Context(), g, Hooks, []string{"false"}, log); !errors.Is(err, ErrForeignHook) || len(paths) > 0 {
		t.Errorf("install: got %q, %v, want %v before anything is written", paths, err, ErrForeignHook)
	}
	if _, err := RemoveHooks(t.Context(), g); !errors.Is(err, ErrForeignHook) {
		t.Errorf("remove: got %v, want %v", err, ErrForeignHook)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != edited {
		t.Errorf("the hook is now %q, %v, want it as edited", got, err)
	}
}

// TestHookNames keeps hooks that look at the name that they are called by.
func TestHookNames(t *testing.T) {
	for _, c := range []struct {
		name, script string
		kept         bool
		wrote        string
	}{
		{"husky", "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"\n", true, "post-commit"},
		{"sh", "#!/bin/sh\nset -e\nbasename \"$0\" >name.txt\nexit 0\n", true, "post-commit"},
		{"folder", "#!/bin/sh -e\ncd \"$(dirname \"$0\")\"\necho post-commit >../../name.txt\n", true, "post-commit"},
		{"options", "#!/bin/sh -e\nbasename \"$0\" >name.txt\n", false, ""},
		{"python", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[0])\n", false, ""},
		{"program", "\x7fELF", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRepo(t)
			r.commits("a")
			r.write(".git/hooks/h", "basename \"$0\" >name.txt\n")
			path := filepath.Join(r.dir, ".git", "hooks", "post-commit")
			r.write(".git/hooks/post-commit", c.script)
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := InstallHooks(t.Context(), open(t, r.dir), Hooks, []string{"true"}, filepath.Join(t.TempDir(), "log"))
			if !c.kept {
				if !errors.Is(err, ErrForeignHook) {
					t.Errorf("got %v, want %v", err, ErrForeignHook)
				}
				if data, err := os.ReadFile(path); err != nil || string(data) != c.script {
					t.Errorf("the hook is now %q, %v, want it untouched", data, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.commits("b")
			if data, err := os.ReadFile(filepath.Join(r.dir, "name.txt")); err != nil || strings.TrimSpace(string(data)) != c.wrote {
				t.Errorf("its name was %q, %v, want %q", data, err, c.wrote)
			}
		})
	}
}

// TestHookAside brings back a hook from an installation that was cut short, and
// leaves a link that leads nowhere.
func TestHookAside(t *testing.T) {
	r := newRepo(t)
	r.commits("a")
	g, log := open(t, r.dir), filepath.Join(t.TempDir(), "log")
	path := filepath.Join(r.dir, ".git", "hooks", "post-commit")
	r.write(".git/hooks/post-commit"+before, "#!/bin/sh\necho theirs\n")
	if removed, err := RemoveHooks(t.Context(), g); err != nil || len(removed) != 1 {
		t.Errorf("got %q, %v, want the hook restored", removed, err)
	}
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), "theirs") {
		t.Errorf("the hook that was there: got %q, %v", data, err)
	}
	if err := os.Rename(path, path+before); err != nil {
		t.Fatal(err)
	}
	if _, err := InstallHooks(t.Context(), g, Hooks, []string{"true"}, log); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), before) {
		t.Errorf("the hook %q, %v, doesn't run the one that is aside", data, err)
	}
	if _, err := RemoveHooks(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", path); err != nil {
		t.Skip(err)
	}
	if _, err := InstallHooks(t.Context(), g, Hooks, []string{"true"}, log); !errors.Is(err, ErrForeignHook) {
		t.Errorf("a link to nothing: got %v, want %v", err, ErrForeignHook)
	}
	if _, err := RemoveHooks(t.Context(), g); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink(path); err != nil || to != "nowhere" {
		t.Errorf("the link leads to %q, %v, want it untouched", to, err)
	}
}

// TestHookLog holds that a hook runs where its log can't be written, and makes
// the folder where it can.
func TestHookLog(t *testing.T) {
	for _, clear := range []bool{true, false} {
		r := newRepo(t)
		dir := t.TempDir()
		log, done := filepath.Join(dir, "hooks", "log"), filepath.Join(dir, "done")
		if !clear { // a file where the folder should be
			if err := os.WriteFile(filepath.Join(dir, "hooks"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := InstallHooks(t.Context(), open(t, r.dir), Hooks, []string{"sh", "-c", "echo ran; echo ran >\"$1\"", "sh", done}, log); err != nil {
			t.Fatal(err)
		}
		r.commits("a")
		hookOutput(t, done, 1)
		if clear {
			hookOutput(t, log, 1)
		}
	}
}
