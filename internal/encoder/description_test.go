package encoder_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/code2lora/code2lora/internal/embedding"
	"github.com/code2lora/code2lora/internal/encoder"
)

// namedTree is a tree that knows the name of its repository.
type namedTree struct{ *tree }

func (namedTree) Name() string { return "owner/marvin" }

func TestDescribe(t *testing.T) {
	const badges = "<p align=\"center\">\n<img src=\"logo.png\"></p>\n[![Build](https://ci/badge.svg)](https://ci) ![x](y.png)\n\n"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"readme and packages", map[string]string{
			"README.md":       badges + "# Marvin\n\nA [robot](https://example.org/robot) library.\r\n",
			"marvin/brain.py": "x", "marvin/arm/left.py": "x", "src/deep/__init__.py": "x", "setup.py": "x", "tests/test_a.py": "x", "cli.py": "x",
		}, "Repository: marvin\nPackages: cli, deep, marvin\n\n# Marvin\n\nA robot library."},
		{"packages alone", map[string]string{"a.py": "x"}, "Repository: marvin\nPackages: a\n"},
		{"restructured text", map[string]string{"readme.rst": "Title\n=====\n\n.. image:: x.png\n   :target: y\n\nText |build| here.\n"},
			"Repository: marvin\n\nTitle\n\nText  here."},
		{"other READMEs don't count", map[string]string{"README.rst": "second", "README.md": "first", "docs/README.md": "third"},
			"Repository: marvin\n\nfirst"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := encoder.Describe(context.Background(), namedTree{&tree{files: tt.files}})
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
	long := map[string]string{"README.md": strings.Repeat("A paragraph of some length, ünïcode.\n\n", 400)}
	got, n, err := encoder.Describe(context.Background(), &tree{files: long})
	if err != nil || n != 1 || len(got) > 2100 || !strings.HasSuffix(got, "ünïcode.") || !utf8.ValidString(got) {
		t.Errorf("long README: %d bytes, %d files, error %v, want whole paragraphs of at most 2000 bytes", len(got), n, err)
	}
	if _, _, err := encoder.Describe(context.Background(), namedTree{&tree{files: map[string]string{"setup.py": "x"}}}); !errors.Is(err, encoder.ErrNothing) {
		t.Errorf("no README and no packages: error %v, want %v", err, encoder.ErrNothing)
	}
}

func TestDescription(t *testing.T) {
	o := encoder.Options{Kind: encoder.KindDescription, Base: "b179", Layer: 2, Chunk: 64}
	e := newEncoder(t, o, nil)
	m, _ := tiny(t)
	files := map[string]string{"README.md": "First words of the text.", "pkg/a.py": "secret = 1"}
	rep := encode(t, e, namedTree{&tree{files: files, forbidden: map[string]bool{"pkg/a.py": true}}})
	v, err := rep.Vector(embedding.Description, m.HiddenSize)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Files != 1 || rep.Tokens < 1 || rep.Tokens > o.Chunk || rep.Encoder != e.ID() || rep.Input == "" {
		t.Errorf("representation %+v: want one file, at most %d tokens", rep, o.Chunk)
	}
	// What is beyond the first tokens changes nothing but the digest.
	files["README.md"] += strings.Repeat(" And more words.", 50)
	longer := encode(t, e, namedTree{&tree{files: files}})
	files["README.md"] += " And an end."
	longest := encode(t, e, namedTree{&tree{files: files}})
	w, x := longer.Tensors[embedding.Description].Data, longest.Tensors[embedding.Description].Data
	for j := range w {
		if w[j] != x[j] {
			t.Fatalf("value %d: %g, and %g after text beyond the limit", j, w[j], x[j])
		}
	}
	if w[0] == v[0] || longer.Input == longest.Input {
		t.Error("text within the limit changed nothing, or text beyond it not the digest")
	}
	if encode(t, e, &tree{files: files}).Tensors[embedding.Description].Data[0] == x[0] {
		t.Error("the name of the repository changed nothing")
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add("README.md", "# T\n\n<!-- \x00 -->\n![a](b)[c](d)\n|x|\n.. y::\n")
	f.Add("readme.txt", "\xff\xfe\n\n\n[")
	f.Fuzz(func(t *testing.T, path, readme string) {
		text, _, err := encoder.Describe(context.Background(), &tree{files: map[string]string{path: readme, "pkg/a.py": ""}})
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 5000+len(path) {
			t.Errorf("%d bytes", len(text))
		}
	})
}
