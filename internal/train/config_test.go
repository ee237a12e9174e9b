package train

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/encoder"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "small.yaml"), `
base: smollm2-135m
repositories: small/repos.tsv
encoder:
  kind: lexical
  dim: 64
head:
  options: {rank: 4}
train:
  epochs: 2
`)
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "small" || c.Dir() != filepath.Join(dir, "small") || c.RepositoriesPath() != filepath.Join(dir, "small", "repos.tsv") {
		t.Errorf("name %q, folder %s, table %s", c.Name, c.Dir(), c.RepositoriesPath())
	}
	want := DefaultOptions()
	want.Epochs = 2
	if c.Train != want {
		t.Errorf("options %+v, want the defaults with two epochs: %+v", c.Train, want)
	}
	if want := (encoder.Options{Kind: encoder.KindLexical, Dim: 64}); c.Encoder != want || c.Head.Kind != "factored" || len(c.Digest()) != 64 {
		t.Errorf("encoder %+v, head %+v, digest %q", c.Encoder, c.Head, c.Digest())
	}
	c.Repositories = filepath.Join(dir, "abs.tsv")
	if c.RepositoriesPath() != c.Repositories {
		t.Errorf("absolute table became %s", c.RepositoriesPath())
	}

	for name, tt := range map[string]struct{ text, want string }{
		"unknown field":  {"base: a\nrepositories: b\nspeed: 3", "speed"},
		"unknown option": {"base: a\nrepositories: b\ntrain: {speed: 3}", "speed"},
		"no base":        {"repositories: b", "base is missing"},
		"no table":       {"base: a", "repositories is missing"},
		"both":           {"name: ../x", `name "../x"`},
		"hidden name":    {"base: a\nrepositories: b\nname: .x", `name ".x"`},
		"window":         {"base: a\nrepositories: b\ndata: {window_tokens: 15}", "window_tokens 15"},
		"tasks":          {"base: a\nrepositories: b\ndata: {train_tasks: 0}", "numbers of tasks"},
		"encoder":        {"base: a\nrepositories: b\nencoder: {kind: other}", `kind "other"`},
		"layer":          {"base: a\nrepositories: b\nencoder: {layer: -1}", "encoder: layer -1"},
		"train":          {"base: a\nrepositories: b\ntrain: {accumulate: 0, clip: -1}", "train: accumulate 0"},
		"not YAML":       {"base: [", "yaml"},
		"empty":          {"", "EOF"},
		"wrong type":     {"base: a\nrepositories: b\ntrain: {epochs: many}", "many"},
	} {
		_, err := ReadConfig(write(t, filepath.Join(dir, "bad.yaml"), tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bad.yaml") {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := ReadConfig(filepath.Join(dir, "none.yaml")); !os.IsNotExist(err) {
		t.Errorf("got %v, want that there is no such file", err)
	}
}

func TestReadRepositories(t *testing.T) {
	const train, validation, test = "0b01001001/spectree", "marshmallow-code/marshmallow", "jpadilla/pyjwt"
	path := filepath.Join(t.TempDir(), "repos.tsv")
	write(t, path, "# name\tsplit\tcommit\n"+train+"\ttrain\tc1\tMIT\r\n\n"+validation+"\tvalidation\tc2\n"+test+"\ttest\tc3\n")
	got, err := ReadRepositories(path)
	want := []Listed{{train, dataset.Train, "c1"}, {validation, dataset.Validation, "c2"}, {test, dataset.Test, "c3"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got := (&source{list: got}).ofSplit(dataset.Train); !reflect.DeepEqual(got, want[:1]) {
		t.Errorf("for training: %+v, want %+v", got, want[:1])
	}
	for name, tt := range map[string]struct{ text, want string }{
		"test as training":   {test + "\ttrain\tc1", `line 1: jpadilla/pyjwt is listed as "train", but the split rule makes it "test"`},
		"test as validation": {"#\n" + strings.ToUpper(test) + "\tvalidation\tc1", `line 2: JPADILLA/PYJWT is listed as "validation"`},
		"training as test":   {train + "\ttest\tc1", `makes it "train"`},
		"no such split":      {train + "\tTrain\tc1", `makes it "train"`},
		"no commit":          {train + "\ttrain", "line 1: want name, split and commit"},
		"empty commit":       {train + "\ttrain\t", "line 1: want name, split and commit"},
		"spaces":             {train + " train c1", "separated by tabs"},
		"twice":              {train + "\ttrain\tc1\n" + strings.ToUpper(train) + "\ttrain\tc2", "line 2: 0B01001001/SPECTREE is listed in line 1 already"},
		"nothing":            {"# name\n", "lists no repositories"},
	} {
		write(t, path, tt.text)
		if _, err := ReadRepositories(path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
