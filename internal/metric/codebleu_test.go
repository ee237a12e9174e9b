package metric

import (
	"strings"
	"testing"
)

func TestCodeBLEU(t *testing.T) {
	got, err := CodeBLEU("python", "bar", "foo")
	if err != nil || got.Value != 0.5 || got.Syntax != 1 || got.DataFlow != 0 || got.Flows != 0 {
		t.Errorf("one name for another: got %+v, %v, want the package's ½", got, err)
	}
	source := "func f(a int) int {\n\tif a > 1 {\n\t\ta = a + b\n\t}\n\treturn a\n}"
	got, err = CodeBLEU("go", source, source)
	if err != nil || got.Value != 1 || got.Flows == 0 {
		t.Errorf("the same function: got %+v, %v, want 1", got, err)
	}
	for _, language := range []string{"typescript", "tsx"} {
		got, err = CodeBLEU(language, "const a: number = b;", "const a: number = b;")
		if err != nil || got.Value != 1 || got.Flows == 0 {
			t.Errorf("%s: got %+v, %v, want 1", language, got, err)
		}
	}
	if _, err := CodeBLEU("cobol", "", ""); err == nil || !strings.Contains(err.Error(), `"cobol"`) {
		t.Errorf("cobol: got %v, want an error with its name", err)
	}
	// Hostile and broken text gives numbers, too.
	for _, text := range []string{"\xff\xfe", "\x00", strings.Repeat("(", 5000), strings.Repeat("a=b;if(a){", 500),
		strings.Repeat("while(a){", 60) + strings.Repeat("}", 60), strings.Repeat("for i in a: ", 40)} {
		for language := range codeLanguages {
			if got, err := CodeBLEU(language, text, "x"); err != nil || !(got.Value >= 0 && got.Value <= 1) {
				t.Errorf("%s %.10q: got %+v, %v", language, text, got, err)
			}
		}
	}
}

func TestWithoutPythonComments(t *testing.T) {
	tests := []struct{ text, want string }{ // as codebleu.parser.remove_comments_and_docstrings gives them
		{"x = 1  # one\n\n\ny", "x = 1  \ny"},
		{"'doc'", ""},
		{"'doc'\nx", "x"},
		{"f('doc')", "f('doc')"},
		{"def f():\n    '''Doc\n    more.'''\n    x = 'a'\n", "def f():\n    x = 'a'"},
		{"x\n'''a\nb'''\ny", "x\ny"},
		{"x = '''a\n b''' + c", "x = '''a\n b''' + c"},
		{"x = [\n'a',\n 'b']", "x = [\n,\n 'b']"}, // a string in the first column
		{"f(  # note", "f(  # note"},              // refused: the bracket is open
		{"a)  # note", "a)  # note"},
		{"'''  # note", "'''  # note"},
		{"if a:\n    b  # note\n  c", "if a:\n    b  # note\n  c"}, // refused: indentation
		{"a \\\n + b  # note", "a + b  "},
		{"x = 'a  # note", "x = 'a  "},
		{"x = 'a\\\nb' # note", "x = 'a\\\nb' "},
		{"x = 1e5 + .5j # c", "x = 1e5 + .5j "},
		{"\tx = 1\n\ty = 2 # c", "\tx = 1\n y = 2 "},
		{"$ x # c", "$ x "},
		{"", ""},
	}
	for _, tt := range tests {
		if got := withoutPythonComments(tt.text); got != tt.want {
			t.Errorf("withoutPythonComments(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func FuzzCodeBLEU(f *testing.F) {
	for i, tt := range strictTests {
		f.Add(uint8(i), tt.generated, tt.want)
	}
	languages := []string{"python", "go", "java", "javascript", "typescript", "tsx"}
	f.Fuzz(func(t *testing.T, language uint8, p, r string) {
		l := languages[int(language)%len(languages)]
		got, err := CodeBLEU(l, p, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []float64{got.Value, got.NGram, got.Weighted, got.Syntax, got.DataFlow, TokenBLEU(p, r), EditSimilarity(p, r)} {
			if !(x >= 0 && x <= 1+1e-12) {
				t.Errorf("%s: %q, %q: got %+v, want figures from 0 to 1", l, p, r, got)
			}
		}
		ErrorClass(l, r, p)
	})
}
