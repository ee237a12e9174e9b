package syntax

import "strings"

// junit gives, for the assertions of JUnit (TestNG's have the same names), how
// many arguments they have without message and delta. The target is the last
// one of these, which is the actual value where the first is the expected one.
var junit = map[string]int{
	"assertEquals": 2, "assertNotEquals": 2, "assertSame": 2, "assertNotSame": 2, "assertArrayEquals": 2, "assertIterableEquals": 2,
	"assertLinesMatch": 2, "assertTrue": 1, "assertFalse": 1, "assertNull": 1, "assertNotNull": 1, "assertInstanceOf": 2,
	// Here the target is the type of the exception.
	"assertThrows": 1, "assertThrowsExactly": 1, "expectThrows": 1,
}

// fluent are the assertions of AssertJ and Truth behind assertThat(x), with
// the argument that is their target.
var fluent = map[string]int{
	"isEqualTo": 0, "isNotEqualTo": 0, "isSameAs": 0, "isNotSameAs": 0, "isSameInstanceAs": 0, "isInstanceOf": 0, "isExactlyInstanceOf": 0,
	"hasSize": 0, "hasMessage": 0, "hasMessageContaining": 0, "hasToString": 0, "hasLength": 0, "hasValue": 0,
	"contains": all, "containsExactly": all, "containsOnly": all, "containsExactlyInAnyOrder": all, "containsAll": all, "containsEntry": all,
	"containsKey": 0, "containsKeys": all, "containsValue": 0, "doesNotContain": all, "doesNotContainKey": 0, "containsAtLeast": all,
	"isIn": all, "isNotIn": all, "startsWith": 0, "endsWith": 0, "matches": 0, "isGreaterThan": 0, "isGreaterThanOrEqualTo": 0,
	"isLessThan": 0, "isLessThanOrEqualTo": 0, "isAtLeast": 0, "isAtMost": 0, "isBetween": all, "isCloseTo": 0, "isEqualToIgnoringCase": 0,
	"hasCauseInstanceOf": 0, "hasRootCauseInstanceOf": 0, "isEqualByComparingTo": 0,
}

// assertion records a call if it is an assertion.
func (w *javaWalker) assertion(call, callee, list int, s scope) {
	name, object := w.text(callee), w.field(call, "object")
	args := w.named(list)
	var site Site
	target, last := -1, -1
	if values, ok := junit[name]; ok && w.isAssertClass(object) {
		site = w.site(name, call, s)
		target = w.junitTarget(name, values, args)
		last = target
	} else if name == "assertThat" && len(args) >= 2 && w.isAssertClass(object) {
		site = w.site("assertThat", call, s)
		target = w.matched(args[len(args)-1])
		last = target
	} else if index, ok := fluent[name]; ok && object >= 0 && w.isFluent(object) {
		site = w.site("assertThat."+name, call, s)
		switch {
		case index == all && len(args) > 0:
			target, last = args[0], args[len(args)-1]
		case index >= 0 && index < len(args):
			target, last = args[index], args[index]
		}
	} else {
		return
	}
	if site.Flaw == "" {
		w.aim(&site, target, last)
	}
	w.out.Sites = append(w.out.Sites, site)
}

// isAssertClass tells whether a receiver is a class of assertions, or none.
func (w *javaWalker) isAssertClass(object int) bool {
	if object < 0 {
		return true
	}
	if w.kind(object) != "identifier" {
		return w.kind(object) == "this" || w.kind(object) == "super"
	}
	switch w.text(object) {
	case "Assert", "Assertions", "TestCase", "MatcherAssert":
		return true
	}
	return false
}

// junitTarget returns the last of an assertion's arguments that is a value,
// or -1. Whether an argument is a message is told by the version of JUnit:
// from 5 on it is the last one, before that the first one; and by whether it
// is a string, since there the third argument can also be a delta.
func (w *javaWalker) junitTarget(name string, values int, args []int) int {
	n := len(args)
	if n < values {
		return -1
	}
	first := 0
	throws := values == 1 && strings.HasSuffix(name, "Throws") || name == "assertThrowsExactly"
	switch {
	case w.jupiter || n == values:
	case throws:
		if w.kind(args[0]) != "class_literal" && n > 2 {
			first = 1
		}
	case w.isMessage(args[n-1]) && !w.isMessage(args[0]): // TestNG
	case n == values+2 || w.isMessage(args[0]):
		first = 1 // message, values and delta
	case values == 2 && w.isNumber(args[n-1]): // delta
	default:
		first = 1
	}
	if first+values > n {
		return -1
	}
	return args[first+values-1]
}

// isMessage tells whether an expression is a string by its looks.
func (w *javaWalker) isMessage(i int) bool {
	for range 64 { // "a" + b + c is ("a" + b) + c
		switch w.kind(i) {
		case "string_literal":
			return true
		case "binary_expression":
			i = w.field(i, "left")
		default:
			return false
		}
	}
	return false
}

// isNumber tells whether an expression is a number by its looks.
func (w *javaWalker) isNumber(i int) bool {
	kind := w.kind(i)
	return strings.HasSuffix(kind, "integer_literal") || strings.HasSuffix(kind, "floating_point_literal")
}

// matched returns what a matcher of Hamcrest compares with: Y of is(Y),
// equalTo(Y) and is(equalTo(Y)), and the matcher itself where it is another.
func (w *javaWalker) matched(i int) int {
	for range 8 {
		if w.kind(i) != "method_invocation" {
			break
		}
		args := w.named(w.field(i, "arguments"))
		if len(args) != 1 {
			break
		}
		switch w.text(w.field(i, "name")) {
		case "is", "equalTo", "not", "isA", "instanceOf", "containsString", "startsWith", "endsWith", "hasItem", "hasSize",
			"greaterThan", "lessThan", "greaterThanOrEqualTo", "lessThanOrEqualTo", "sameInstance":
			i = args[0]
		default:
			return i
		}
	}
	return i
}

// isFluent tells whether an expression comes of a call assertThat(x).
func (w *javaWalker) isFluent(i int) bool {
	for range 32 {
		if w.kind(i) != "method_invocation" {
			return false
		}
		switch w.text(w.field(i, "name")) {
		case "assertThat", "assertThatThrownBy", "assertThatExceptionOfType", "assertWithMessage", "assertThatCode":
			return true
		}
		i = w.field(i, "object")
	}
	return false
}
