package retrieve

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/code2lora/code2lora/internal/disclosure"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// newView makes a repository of files, and the view of somebody who is asked
// about one of them.
func newView(t testing.TB, level disclosure.Level, asked string, files map[string]string, languages ...string) *disclosure.View {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample.git")
	runGit(t, "", nil, "-c", "init.defaultBranch=main", "init", "--quiet", "--bare", dir)
	var b bytes.Buffer
	b.WriteString("commit refs/heads/main\ncommitter C <c@example.com> 1800000000 +0000\ndata 1\nx\n")
	for path, data := range files {
		fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", path, len(data), data)
	}
	runGit(t, dir, b.Bytes(), "fast-import", "--quiet")
	r, err := gitrepo.Open(t.Context(), dir, gitrepo.Options{Name: "owner/sample"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if len(languages) == 0 {
		languages = []string{"python"}
	}
	repo, err := disclosure.NewRepository(t.Context(), r, runGit(t, dir, nil, "rev-parse", "main"), level, languages)
	if err != nil {
		t.Fatal(err)
	}
	return repo.Hide(asked, []byte(files[asked]))
}

func runGit(t testing.TB, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// countBytes is a tokenizer for tests: four bytes are a token.
func countBytes(s string) int { return (len(s) + 3) / 4 }

// plenty is a budget that nothing exceeds.
const plenty = 1 << 20

func contextOf(t testing.TB, c Context, v *disclosure.View, q repopeft.Query, budget int) string {
	t.Helper()
	text, err := c.Context(t.Context(), v, q, budget, countBytes)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func python(file, prefix string) repopeft.Query {
	return repopeft.Query{File: file, Language: "python", Prefix: prefix}
}

// letters is an embedder that counts letters: close texts have close vectors. It
// remembers what it was asked.
type letters struct {
	mu    sync.Mutex
	asked []string
	fail  error
}

func (l *letters) Name() string { return "letters" }

func (l *letters) Embed(_ context.Context, texts []string) ([][]float32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, texts...)
	if l.fail != nil {
		return nil, l.fail
	}
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = make([]float32, 26)
		for _, c := range strings.ToLower(t) {
			if c >= 'a' && c <= 'z' {
				out[i][c-'a']++
			}
		}
	}
	return out, nil
}

// bytesTokenizer has one token for each byte.
type bytesTokenizer struct{}

func (bytesTokenizer) Encode(text string) []int32 {
	ids := make([]int32, len(text))
	for i := range len(text) {
		ids[i] = int32(text[i])
	}
	return ids
}

func (bytesTokenizer) Decode(ids []int32) string {
	b := make([]byte, len(ids))
	for i, id := range ids {
		b[i] = byte(id)
	}
	return string(b)
}

// memory is a cache that keeps all.
type memory struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (m *memory) Get(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.kept[key]
	return data, ok, nil
}

func (m *memory) Put(key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[key] = data
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
