package kernel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	best := implementations[len(implementations)-1]
	if got := choose(""); got != best {
		t.Errorf("by default %s is chosen, want %s", got.name, best.name)
	}
	if got := choose("sse9"); got != best {
		t.Errorf("for an unknown name %s is chosen, want %s", got.name, best.name)
	}
	for _, o := range implementations {
		if got := choose(o.name); got != o {
			t.Errorf("for %s %s is chosen", o.name, got.name)
		}
	}
	if implementations[0].name != "generic" || active.name != Implementation() {
		t.Errorf("implementations start with %s; %s is in use but reported as %s", implementations[0].name, active.name, Implementation())
	}
}

// TestGenerated compares the files that generate.sh read and wrote with what
// it noted about them: it fails if a generator was changed and not run, or a
// generated file edited. "generate.sh -check" does the same by generating.
func TestGenerated(t *testing.T) {
	list, err := os.ReadFile("_gen/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	noted := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		noted[name] = true
		data, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != sum {
			t.Errorf("%s has changed since generate.sh ran: run it again", name)
		}
	}
	for _, pattern := range []string{"_gen/*.go", "_gen/go.mod", "*_amd64.s", "*_stubs_amd64.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Errorf("no files %s (%v)", pattern, err)
		}
		for _, name := range names {
			if !noted[filepath.ToSlash(name)] {
				t.Errorf("%s is unknown to generate.sh: run it again", name)
			}
		}
	}
}
