package gitrepo

import (
	"bytes"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// sniffLen is how far git and we look for a NUL byte.
const sniffLen = 8000

// Text judges content by what it holds and returns it as UTF-8, or the reason
// for leaving it out. It is what [Snapshot.Each] does to every file:
//
//   - a NUL byte among the first 8000 makes it binary, as for git;
//   - a byte order mark of UTF-8 is dropped;
//   - a source that isn't UTF-8 is converted if it declares a single-byte
//     encoding the way Python demands (PEP 263) and Emacs and Vim understand:
//     a comment with "coding: NAME" on line 1 or 2. The result names the
//     encoding. Without a declaration, guessing would be wrong in silence, and
//     Python itself refuses the file: it is left out;
//   - a marker such as "@generated" or "DO NOT EDIT" in the comments that the
//     file begins with makes it generated, unless keepGenerated.
func Text(raw []byte, keepGenerated bool) (text []byte, converted string, why Reason) {
	if bytes.IndexByte(raw[:min(len(raw), sniffLen)], 0) >= 0 {
		return nil, "", ReasonBinary
	}
	text = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		name, enc := declaredEncoding(text)
		if enc == nil {
			return nil, "", ReasonEncoding
		}
		decoded, err := enc.NewDecoder().Bytes(text)
		if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
			return nil, "", ReasonEncoding
		}
		text, converted = decoded, name
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, "", ReasonEmpty
	}
	if !keepGenerated && hasGeneratedMarker(text) {
		return nil, "", ReasonGenerated
	}
	return text, converted, ""
}

// codingCookie is the expression of PEP 263.
var codingCookie = regexp.MustCompile(`^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)`)

// encodings are those with one byte per character, by the names that Python
// knows them by, in lower case with "-" for "_".
var encodings = map[string]encoding.Encoding{
	"latin-1": charmap.ISO8859_1, "latin1": charmap.ISO8859_1, "l1": charmap.ISO8859_1,
	"iso-8859-1": charmap.ISO8859_1, "iso8859-1": charmap.ISO8859_1,
	"iso-8859-2": charmap.ISO8859_2, "iso8859-2": charmap.ISO8859_2, "latin-2": charmap.ISO8859_2, "latin2": charmap.ISO8859_2,
	"iso-8859-5": charmap.ISO8859_5, "iso8859-5": charmap.ISO8859_5,
	"iso-8859-7": charmap.ISO8859_7, "iso8859-7": charmap.ISO8859_7,
	"iso-8859-9": charmap.ISO8859_9, "iso8859-9": charmap.ISO8859_9, "latin-5": charmap.ISO8859_9,
	"iso-8859-15": charmap.ISO8859_15, "iso8859-15": charmap.ISO8859_15, "latin-9": charmap.ISO8859_15, "latin9": charmap.ISO8859_15,
	"cp1250": charmap.Windows1250, "windows-1250": charmap.Windows1250,
	"cp1251": charmap.Windows1251, "windows-1251": charmap.Windows1251,
	"cp1252": charmap.Windows1252, "windows-1252": charmap.Windows1252,
	"cp437": charmap.CodePage437, "cp850": charmap.CodePage850, "cp866": charmap.CodePage866,
	"koi8-r": charmap.KOI8R, "koi8-u": charmap.KOI8U, "mac-roman": charmap.Macintosh, "macintosh": charmap.Macintosh,
}

// declaredEncoding returns the encoding that a source declares, or nil.
func declaredEncoding(src []byte) (string, encoding.Encoding) {
	for range 2 {
		line, rest, _ := bytes.Cut(src, []byte("\n"))
		if m := codingCookie.FindSubmatch(line); m != nil {
			name := strings.ReplaceAll(strings.ToLower(string(m[1])), "_", "-")
			return name, encodings[name]
		}
		src = rest
	}
	return "", nil
}

// generatedSuffixes are names that generators give their output.
var generatedSuffixes = []string{
	"_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi", ".pb.go", "_gen.go", "_generated.go", ".pb.cc", ".pb.h",
	".min.js", ".min.css", ".bundle.js", "-min.js", ".g.dart", ".freezed.dart", ".designer.cs",
}

// isGeneratedName tells by its name that a file was generated.
func isGeneratedName(name string) bool {
	base := strings.ToLower(path.Base(name))
	for _, s := range generatedSuffixes {
		if strings.HasSuffix(base, s) {
			return true
		}
	}
	return strings.Contains(name, "__generated__/")
}

// generatedMarker matches what generators write about themselves. The word
// alone is not enough: comments speak of generated things all the time.
var generatedMarker = regexp.MustCompile(`(?i)@generated\b` +
	`|\bdo not (edit|modify)\b|\bdon't edit\b` +
	`|\bcode generated (by|from)\b` +
	`|\b(this|the following) (file|code|module|script) (is|was|has been) (auto|automatically |auto[- ])?generated\b` +
	`|^\W*((this )?(file|module|code) )?(was |is )?(auto|automatically |auto[- ])?generated (by|from|with|using|on|at)\b` +
	`|^\W*(auto|automatically |auto[- ])generated\W*$`)

// hasGeneratedMarker looks at the comments before the first line of code, and
// at the first line of a docstring there.
func hasGeneratedMarker(text []byte) bool {
	text = text[:min(len(text), sniffLen)]
	for range 100 {
		line, rest, more := bytes.Cut(text, []byte("\n"))
		text = rest
		line = bytes.TrimSpace(line)
		comment, last := commentText(line)
		if comment != nil && generatedMarker.Match(comment) {
			return true
		}
		if !more || last {
			return false
		}
	}
	return false
}

var (
	commentSigns = []string{"#", "//", "/*", "*", "--", "<!--", ";;", "%"}
	quoteSigns   = []string{`r"""`, `"""`, `'''`, `u"""`}
)

// commentText returns a line without its comment sign, nil for code and blank
// lines. It also tells whether code or a docstring has begun.
func commentText(line []byte) (comment []byte, last bool) {
	if len(line) == 0 {
		return nil, false
	}
	for _, sign := range commentSigns {
		if rest, ok := bytes.CutPrefix(line, []byte(sign)); ok {
			return bytes.TrimSpace(rest), false
		}
	}
	for _, sign := range quoteSigns {
		if rest, ok := bytes.CutPrefix(line, []byte(sign)); ok {
			return bytes.TrimSpace(rest), true
		}
	}
	return nil, true
}
