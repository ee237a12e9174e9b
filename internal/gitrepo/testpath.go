package gitrepo

import (
	"path"
	"strings"
)

// IsTestPath tells by its path whether a file is a test or helps tests. A
// directory called test or tests, or with that word in its name (unit_tests,
// __tests__, src/test), covers everything below it; besides, by language:
//
//	Python      test_*.py *_test.py *_tests.py test.py tests.py conftest.py
//	Go          *_test.go
//	JavaScript  *.test.* *.spec.*
//	Java & co.  *Test.java *Tests.java *IT.java Test*.java (Kotlin, Scala, C#, Swift, PHP)
//	Ruby        *_spec.rb *_test.rb
//
// These are the paper's rules, which leave contest.py and latest/ alone. The
// rule of the authors' code is [IsTestPathLoose].
func IsTestPath(name string) bool {
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if hasTestWord(path.Base(dir)) {
			return true
		}
	}
	base := path.Base(name)
	ext := strings.ToLower(path.Ext(base))
	stem := base[:len(base)-len(ext)]
	lower := strings.ToLower(stem)
	switch ext {
	case ".py", ".pyi", ".pyx":
		return lower == "conftest" || lower == "test" || lower == "tests" ||
			strings.HasPrefix(lower, "test_") || strings.HasSuffix(lower, "_test") || strings.HasSuffix(lower, "_tests")
	case ".go":
		return strings.HasSuffix(stem, "_test")
	case ".rb":
		return strings.HasSuffix(lower, "_spec") || strings.HasSuffix(lower, "_test") || strings.HasPrefix(lower, "test_")
	case ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".vue":
		return strings.HasSuffix(lower, ".test") || strings.HasSuffix(lower, ".spec")
	case ".java", ".kt", ".scala", ".cs", ".swift", ".php":
		return isTestClass(stem)
	}
	return false
}

// IsTestPathLoose is the rule of the paper's code: a directory or file name
// on the path contains "test" anywhere, in any case. It also holds for
// latest/ and contest.py.
func IsTestPathLoose(name string) bool {
	return strings.Contains(strings.ToLower(name), "test")
}

// hasTestWord tells whether test or tests is a word of a directory's name.
func hasTestWord(dir string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(dir), func(r rune) bool {
		return r == '_' || r == '-' || r == '.' || r == ' '
	}) {
		if word == "test" || word == "tests" || word == "unittest" || word == "unittests" || word == "testdata" {
			return true
		}
	}
	return false
}

// isTestClass follows the conventions of JUnit and those who copied them:
// FooTest, FooTests, FooTestCase, FooIT and TestFoo, but not Testament.
func isTestClass(stem string) bool {
	for _, suffix := range []string{"Test", "Tests", "TestCase", "IT"} {
		if before, ok := strings.CutSuffix(stem, suffix); ok && (suffix != "IT" || endsLower(before)) {
			return true
		}
	}
	after, ok := strings.CutPrefix(stem, "Test")
	return ok && after != "" && (after[0] < 'a' || after[0] > 'z')
}

// endsLower tells whether s ends in a lower-case letter or digit, so that
// "OrderIT" is a test and "AUDIT" is not.
func endsLower(s string) bool {
	if s == "" {
		return false
	}
	c := s[len(s)-1]
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}
