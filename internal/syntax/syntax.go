// Package syntax reads source by its grammar: Python, Go, JavaScript,
// TypeScript and Java.
//
// [ParseLanguage] turns a file into an [Outline]: the functions and types with
// their extents ([Definition]), the assertions with the expression that a
// completion model could be asked for ([Site]), the calls ([CallSite]), the
// lines ([LineSite]) and what is imported ([ImportRef]). [Parse] is an older
// form of it, for Python only. All of it is plain Go data in file order;
// nothing of the parser's own tree is kept. Go is read by go/parser, the other
// languages by tree-sitter.
//
// Offsets are in bytes from the beginning of the file, so that
// source[Start:End] is the text of a thing. Lines are 1-based and end at "\n"
// alone, as the tokenizer of Python has it; a form feed or a lone "\r" doesn't
// end one. A byte order mark is part of the first line.
//
// A file needn't be correct. The parser recovers after an error; what lies
// inside a broken stretch is marked as broken rather than left out, so that a
// caller can count it.
package syntax

import (
	"errors"
	"time"
)

// ErrTooLarge is returned for a file of more than [MaxBytes].
var ErrTooLarge = errors.New("source file is too large to parse")

// MaxBytes is the longest source that is read. Longer files are
// generated, and the parser needs some fifty times their size.
const MaxBytes = 8 << 20

// maxTime is a last resort against sources that keep the parser trying. It is
// a thousand times of what a long file needs, so no result depends on it.
const maxTime = 20 * time.Second

// File is what a source file contains.
type File struct {
	// Definitions are the functions and classes, in the order in which they
	// begin. Those inside of an unreadable stretch are left out.
	Definitions []Definition
	// Statements are those of the module and of class bodies, not those of
	// functions, in file order.
	Statements []Statement
	// Sites are the assertions, in the order in which their targets begin;
	// where two begin together, the longer one comes first.
	Sites []Site
	// Errors counts the stretches that the parser couldn't read.
	Errors int
}

// None is the index that stands for no definition: the module itself.
const None = -1

// Span is an extent in the source. An empty one stands for nothing.
type Span struct{ Start, End int }

// Definition is a function or a class.
type Definition struct {
	Name string
	// Class tells a class from a function. Other named types count as classes:
	// interfaces, enumerations, records, type aliases and all types of Go.
	Class bool
	// Test tells that this function is a test by the conventions of its
	// language:
	//
	//	Python       test_* of the module, and the test methods of test classes
	//	Go           func TestX(t *testing.T), methods TestX() of testify suites
	//	JavaScript   what it() or test() is given, named by the title
	//	Java         methods with an annotation such as @Test or @ParameterizedTest,
	//	             and void testX() where the class extends TestCase
	Test bool
	// Exported tells that the definition is meant for others: capitalised in Go,
	// without underscore in Python, public in Java (or a member of an interface),
	// with "export" in JavaScript.
	Exported bool
	// Receiver is the name of the type that a method of Go belongs to.
	Receiver string
	// Start and End are the extent of the definition from "def", "async" or
	// "class" on, without its decorators; that of a JavaScript function in a
	// variable begins with the declaration of the variable.
	Start, End int
	// Signature is from Start to the body: with its colon in Python, without the
	// brace elsewhere. Body is the body, with its braces where it has them.
	Signature, Body Span
	// Doc is the docstring, else the comment right above the definition (above
	// its decorators, where it has them). For Outlines only.
	Doc Span
	// Line and EndLine are the first and the last line of the definition.
	Line, EndLine int
	// DecoratorLine is the line of the first decorator, or Line without one.
	DecoratorLine int
	// Parent is the definition around this one, or [None].
	Parent int
	// Direct tells that this is a statement of its parent's own body, and not
	// of an "if" or "try" within.
	Direct bool
}

// StatementKind tells apart the statements of a module or class.
type StatementKind string

// The kinds of statements.
const (
	Import     StatementKind = "import"
	Assignment StatementKind = "assignment" // also annotated and augmented ones
	Expression StatementKind = "expression"
	String     StatementKind = "string" // an expression that is a constant string, as docstrings are
	Defines    StatementKind = "definition"
	Other      StatementKind = "other" // if, try, for, with, pass and so on
)

// Statement is a statement of the module or of a class body.
type Statement struct {
	Kind          StatementKind
	Start, End    int
	Line, EndLine int
	Parent        int // the class, or [None] for the module
}

// Flaw says why a [Site] has no usable target.
type Flaw string

// The flaws of a site.
const (
	Broken       Flaw = "syntax error"      // it is in, or contains, what the parser could not read
	NoComparison Flaw = "no comparison"     // a bare assert of something else
	NoArgument   Flaw = "missing arguments" // a call without the argument that is the target
)

// Site is an assertion whose right-hand side can be asked for.
type Site struct {
	// Kind is the family. In Python: "assert", "self.assertEqual" (and so on),
	// "pytest.raises", "pytest.approx" or "assert_*"; for other languages see
	// [ParseLanguage].
	Kind string
	// Start and End are the extent of the target, valid without a flaw.
	Start, End int
	// From is where the assertion itself begins, on line Line.
	From, Line int
	// Function and Class are the innermost function and the innermost class
	// around the assertion, or [None].
	Function, Class int
	Flaw            Flaw
}
