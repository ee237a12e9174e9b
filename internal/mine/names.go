package mine

import (
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/syntax"
)

// definitions returns the names that a file of production code defines for
// others to call: functions, methods and classes, without those inside of
// functions. They are sorted, each is there once.
func definitions(o *syntax.Outline) []string {
	var names []string
	for _, d := range o.Definitions {
		inside := false
		for p := d.Parent; p != syntax.None; p = o.Definitions[p].Parent {
			inside = inside || !o.Definitions[p].Class
		}
		if !inside && !d.Test && d.Name != "" && !commonName(o.Language, d.Name) {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// maxFiles is the number of files that may define a name. One that more define
// is an interface that any call could mean.
const maxFiles = 8

// index counts for each name the files that define it.
type index map[string]int

func (x index) add(names []string, n int) {
	for _, name := range names {
		if x[name] += n; x[name] == 0 {
			delete(x, name)
		}
	}
}

// knows tells whether another file than one with the given definitions defines
// a name, and not too many do.
func (x index) knows(name string, own []string) bool {
	n := x[name]
	if n > maxFiles {
		return false
	}
	if _, ok := slices.BinarySearch(own, name); ok {
		n--
	}
	return n > 0
}

// commonName tells whether a name is built into a language, or one that says
// nothing about a repository. Names of fewer than four letters are.
func commonName(language, name string) bool {
	if len(name) < 4 || strings.HasPrefix(name, "__") {
		return true
	}
	return common[name] || builtin[language][name]
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// common are names of methods that every second library has.
var common = set(`append apply assert clear clone close copy count create delete describe done dump dumps emit exec execute
	exists expect extend fail filter find first flush format from getattr getName getValue index info init insert invoke items
	join keys last length list load loads lock main match merge move name next open parse pause play post print printf push read
	readline ready receive register release remove rename render replace request reset resolve resume return reverse round save
	search select send setUp setup setValue shutdown size sleep sort split start stop strip success sync tearDown test this
	toString trim type undo unlock update upper validate value values wait walk warn warning with write yield
	equals hashCode super debug error exception handle handler process wrapper wrapped inner decorator callback helper check
	Append Close Copy Error Errorf Fatal Fatalf Format Init Join Len Lock Main Name New Next Open Parse Print Printf Println
	Read Reset Run Send Set Sort Start Stop String Sprintf Unlock Value Wait Write`)

// builtin are the names of functions that a language has without an import.
var builtin = map[string]map[string]bool{
	"python": set(`abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex
		delattr dict dir divmod enumerate eval filter float frozenset globals hasattr hash help hex input int isinstance
		issubclass iter len locals map max memoryview min object oct ord pow property range repr reversed set setattr slice
		sorted staticmethod str sum super tuple vars zip ArithmeticError AssertionError AttributeError BaseException
		EOFError Exception FileNotFoundError ImportError IndexError IOError KeyError KeyboardInterrupt LookupError
		NotImplementedError OSError OverflowError PermissionError RuntimeError StopIteration SyntaxError SystemExit
		TimeoutError TypeError UnicodeDecodeError UnicodeEncodeError ValueError Warning ZeroDivisionError
		encode decode startswith endswith lower rstrip lstrip splitlines isdigit setdefault popitem`),
	"go": set(`append cap clear close complex copy delete imag len make max min panic print println real recover string bool
		byte rune error int8 int16 int32 int64 uint uint8 uint16 uint32 uint64 uintptr float32 float64 complex64 complex128`),
	"javascript": scriptBuiltins,
	"typescript": scriptBuiltins,
	"java": set(`Integer Long Double Float Boolean String StringBuilder Object Exception RuntimeException
		IllegalArgumentException IllegalStateException ArrayList HashMap HashSet LinkedList Thread println printf valueOf
		isEmpty contains containsKey charAt substring getClass stream collect forEach compareTo iterator hasNext`),
}

var scriptBuiltins = set(`Array ArrayBuffer BigInt Boolean Date Error EvalError Function JSON Map Math Number Object Promise Proxy
	RangeError ReferenceError RegExp Set String Symbol SyntaxError TypeError Uint8Array WeakMap WeakSet clearInterval
	clearTimeout decodeURIComponent encodeURIComponent fetch isNaN parseFloat parseInt require setInterval setTimeout
	structuredClone forEach concat includes indexOf slice splice reduce every some then catch finally bind call
	hasOwnProperty toEqual toBe beforeEach afterEach`)
