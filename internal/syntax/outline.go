package syntax

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrLanguage is returned for a language that this package doesn't read.
var ErrLanguage = errors.New("language is not one of go, java, javascript, python, typescript")

// Outline is what a source file contains, in file order.
type Outline struct {
	// Language is the name of the language as gitrepo.Language has it.
	Language string
	// Package is what a file of Go or Java says that it belongs to.
	Package     string
	Definitions []Definition // see [File.Definitions]
	// Statements are those of [File.Statements]; for Python only.
	Statements []Statement
	Sites      []Site // assertions, see [File.Sites]
	Calls      []CallSite
	Lines      []LineSite
	Imports    []ImportRef
	Errors     int // stretches that the parser couldn't read
}

// CallSite is a call inside a function, of something that has a name. The
// creation of an object ("new" in JavaScript and Java) is one too, and so is a
// conversion in Go.
type CallSite struct {
	// Name is the last identifier of what is called: "c" in a.b.c(d).
	Name string
	// Receiver is the text before the name: "a.b"; "" for a plain call. Of a
	// longer one than [MaxReceiver] bytes it is the end.
	Receiver string
	// Start is where the name begins, End is behind the closing parenthesis.
	Start, End int
	// From is where the statement begins that the call is in, on line Line.
	From, Line int
	// Function and Class are the innermost function and the innermost class
	// around the call; Class may be [None].
	Function, Class int
	Flaw            Flaw // [Broken] or ""
}

// MaxReceiver is the longest receiver of a [CallSite], in bytes. In a long
// chain of calls each one's receiver is all that comes before.
const MaxReceiver = 256

// LineSite is a line of a function that a statement begins and ends on, or
// the head of one with a block: "if x:". A line that a statement of several
// lines begins on is none, nor are those of definitions, imports, comments,
// docstrings, lone brackets, "pass" and "else:", and what the parser couldn't
// read.
type LineSite struct {
	// Start is the first byte of the line that isn't blank, End is behind the
	// last one, of what comes before a comment.
	Start, End      int
	Line            int
	Function, Class int // innermost ones around the line; Class may be [None]
}

// ImportRef is one imported module.
//
//	import a.b as c                     Module a.b, Alias c
//	from ..x import a as b, c           Module x, Level 2, Names a c, Aliases b ""
//	import d, {a as b} from "./m"       Module ./m, Names default a, Aliases d b
//	import * as ns from "m"             Module m, Alias ns
//	const {a, b: c} = require("m")      Module m, Names a b, Aliases "" c
//	import x "a/b"                      Module a/b, Alias x (of Go, also . and _)
//	import static a.B.c;                Module a.B, Names c
//	import a.b.*; from a.b import *     Module a.b, Names *
type ImportRef struct {
	Module  string
	Level   int      // leading dots in Python
	Alias   string   // what the whole module is called here, if it was given a name
	Names   []string // what is imported from the module; empty where it is the module itself
	Aliases []string // what each of Names is called here, "" for no other name
	// Start and End are the extent of the statement, which begins on line Line.
	Start, End, Line int
	Function         int // the function that the import is in, or [None]
}

// extensions gives the languages of files, as gitrepo.Language does.
var extensions = map[string]string{
	".py": "python", ".go": "go", ".java": "java",
	".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
	".ts": "typescript", ".tsx": "typescript",
}

// ParseFile reads source in the language that the extension of its path says.
// A path that ends in ".tsx" is read as TypeScript with elements of JSX.
func ParseFile(name string, source []byte) (*Outline, error) {
	extension := strings.ToLower(path.Ext(name))
	grammar := extensions[extension]
	if extension == ".tsx" {
		grammar = tsx
	}
	o, err := parse(extensions[extension], grammar, source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return o, nil
}

// ParseLanguage reads source in a language, as gitrepo.Language names it.
// JavaScript may have elements of JSX, TypeScript may not (see [ParseFile]).
// Source with errors gives an outline that counts them, not an error: only
// what can't be parsed at all does.
//
// The assertions, by [Site.Kind], and their targets are, besides those of
// Python:
//
//	Go          if                         right side of a comparison whose body has t.Error or t.Fatal
//	            reflect.DeepEqual ...      second argument, in the condition of such an if
//	            cmp.Diff                   second argument
//	            assert.Equal, require.Len  testify: last argument before the message; suite.Equal in its suites
//	            Assert, Check              gocheck and quicktest: third argument
//	JavaScript  expect.toBe ...            Jest, Vitest: the argument of the matcher
//	            expect.equal, should.eql   Chai, should.js: likewise
//	            assert.equal, t.is ...     Node, Chai, tap, AVA: second argument
//	            assert, assert.ok          right side of the comparison
//	Java        assertEquals ...           JUnit: last argument that is no message or delta, the actual value
//	            assertThrows               the class
//	            assertThat.isEqualTo ...   AssertJ, Truth: the argument
//	            assertThat                 Hamcrest: what is(Y) is given, or else the whole matcher
//	            assert                     right side of the comparison
//
// TypeScript has those of JavaScript.
func ParseLanguage(language string, source []byte) (*Outline, error) {
	return parse(language, language, source)
}

// outliners make the outline of source by a grammar, which is named as its
// language but for tsx.
var outliners = map[string]func(grammar string, source []byte) (*Outline, error){
	"go":         func(_ string, source []byte) (*Outline, error) { return goOutline(source), nil },
	"java":       byTree(javaOutline),
	"javascript": byTree(scriptOutline),
	"python":     byTree(pythonOutline),
	"typescript": byTree(scriptOutline),
}

// byTree makes an outline by way of tree-sitter.
func byTree(outline func(*flat) *Outline) func(string, []byte) (*Outline, error) {
	return func(grammar string, source []byte) (*Outline, error) {
		t, err := parseFlat(grammar, source)
		if err != nil {
			return nil, err
		}
		o := outline(t)
		o.Errors = t.errors
		return o, nil
	}
}

func parse(language, grammar string, source []byte) (*Outline, error) {
	if len(source) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(source), MaxBytes)
	}
	outline, ok := outliners[language]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrLanguage, language)
	}
	o, err := outline(grammar, source)
	if err != nil {
		return nil, err
	}
	o.Language = language
	o.sort()
	return o, nil
}

// Parse reads Python source. Source that isn't Python gives a file with
// errors, not an error: only what can't be parsed at all does.
func Parse(source []byte) (*File, error) {
	o, err := ParseLanguage("python", source)
	if err != nil {
		return nil, err
	}
	return &File{Definitions: o.Definitions, Statements: o.Statements, Sites: o.Sites, Errors: o.Errors}, nil
}
