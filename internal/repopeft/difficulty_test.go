package repopeft

import (
	"slices"
	"testing"
)

func TestDifficulty(t *testing.T) {
	tests := []struct{ target, want string }{
		{"True", BoolLiteral},
		{" False) ", BoolLiteral},
		{"None)", NoneLiteral},
		{"NoneType", Variable},
		{`"a b"`, StringLiteral},
		{`b'x'`, StringLiteral},
		{`f"{x}")`, StringLiteral},
		{`r"x"`, ComplexExpr}, // no rule for it
		{"1", NumericLiteral},
		{"-1.5)", NumericLiteral},
		{"- 1", NumericLiteral}, // float() strips
		{"1_000", NumericLiteral},
		{"1__0", ComplexExpr},
		{"1e-5", NumericLiteral}, // the first "-" goes, and 1e5 is left
		{"--1", NumericLiteral},  // float reads the second sign
		{".5", NumericLiteral},
		{"5.", NumericLiteral},
		{".", ComplexExpr},
		{"0x10", ComplexExpr},
		{"nan", NumericLiteral},
		{"[1, 2]", Collection},
		{"(1, f(2))", Collection},
		{"{}", Collection},
		{"f()", FuncCall},
		{"a.b(1) + 2", FuncCall},
		{"name)", Variable},
		{"größe", Variable},
		{"a.b", ComplexExpr},
		{"x + 1", ComplexExpr},
		{"1x", ComplexExpr},
		{"", ComplexExpr},
		{"true", Variable},
	}
	for _, tt := range tests {
		got := Difficulty(tt.target)
		if got != tt.want {
			t.Errorf("Difficulty(%q) = %q, want %q", tt.target, got, tt.want)
		}
		if in := DifficultyIn("python", tt.target); in != got {
			t.Errorf("DifficultyIn(python, %q) = %q, want %q", tt.target, in, got)
		}
		if !slices.Contains(Difficulties, got) {
			t.Errorf("%q is not in Difficulties", got)
		}
	}
}

func TestDifficultyIn(t *testing.T) {
	tests := []struct{ language, target, want string }{
		{"go", "true", BoolLiteral},
		{"go", "nil", NoneLiteral},
		{"go", "`x`", StringLiteral},
		{"go", "'x'", StringLiteral},
		{"java", "null)", NoneLiteral},
		{"java", "nil", Variable},
		{"javascript", "undefined", NoneLiteral},
		{"typescript", "False", Variable},
		{"cobol", "True", BoolLiteral},
	}
	for _, tt := range tests {
		if got := DifficultyIn(tt.language, tt.target); got != tt.want {
			t.Errorf("DifficultyIn(%s, %q) = %q, want %q", tt.language, tt.target, got, tt.want)
		}
	}
}
