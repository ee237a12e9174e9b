package repopeft

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"strings"

	"github.com/code2lora/code2lora/internal/store"
)

// maxLine is the length of the longest line that is read, in bytes.
const maxLine = 16 << 20

// result is a line of one of our JSON Lines files.
type result interface {
	Validate() error
	key() string // what no two lines of a file share
}

// Validate reports the first thing that makes a prediction unusable.
func (p *Prediction) Validate() error {
	err := checkResult(p.Task, p.Repository, p.Method, p.Tokens, p.PromptTokens, p.ContextTokens)
	return first(err, finite("nll", p.NLL))
}

func (p *Prediction) key() string { return p.Task + "\x00" + p.Method + "\x00" + p.Level }

// Validate reports the first thing that makes a score unusable.
func (s *Score) Validate() error {
	return first(
		checkResult(s.Task, s.Repository, s.Method, s.Tokens, s.PromptTokens, s.ContextTokens),
		oneOf("track", s.Track, tracks),
		oneOf("kind", s.Kind, kinds),
		finite("nll", s.NLL),
		finite("edit_similarity", s.EditSimilarity),
		finite("code_bleu", s.CodeBLEU),
		finite("token_bleu", s.TokenBLEU),
	)
}

func (s *Score) key() string { return s.Task + "\x00" + s.Method + "\x00" + s.Level }

// checkResult checks what predictions and scores have in common.
func checkResult(task, repository, method string, tokens, prompt, context int) error {
	switch {
	case !isTaskID(task):
		return fmt.Errorf("task is %q, want 32 hexadecimal digits", task)
	case tokens < 0:
		return fmt.Errorf("tokens is %d, want 0 or more", tokens)
	case context < 0 || prompt < context:
		return fmt.Errorf("prompt_tokens is %d and context_tokens %d, want the second within the first", prompt, context)
	}
	return first(text("repository", repository, true), text("method", method, true))
}

// finite reports a number that JSON cannot hold.
func finite(what string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%s is %v", what, v)
	}
	return nil
}

// Predictions yields the predictions of a JSON Lines file, and ends with the
// first error, which names the line. A name that ends in .gz means gzip.
func Predictions(path string) iter.Seq2[*Prediction, error] {
	return readResults[Prediction](path)
}

// Scores yields the scores of a JSON Lines file, as [Predictions] does.
func Scores(path string) iter.Seq2[*Score, error] { return readResults[Score](path) }

// WritePredictions writes a JSON Lines file, atomically. A name that ends in
// .gz means gzip. Bytes of a text that are not UTF-8 become U+FFFD.
func WritePredictions(path string, all iter.Seq[*Prediction]) error {
	return writeResults(path, all)
}

// WriteScores writes a JSON Lines file, as [WritePredictions] does.
func WriteScores(path string, all iter.Seq[*Score]) error { return writeResults(path, all) }

// writeResults writes lines to a file.
func writeResults[T any, P interface {
	*T
	result
}](path string, all iter.Seq[P]) error {
	return store.WriteFile(path, func(w io.Writer) error {
		lines := w
		zip := gzip.NewWriter(w)
		if strings.HasSuffix(path, ".gz") {
			lines = zip
		}
		n := 0
		for v := range all {
			n++
			if err := writeLine(lines, v); err != nil {
				return fmt.Errorf("writing line %d of %s: %w", n, path, err)
			}
		}
		if lines == w {
			return nil
		}
		return zip.Close()
	})
}

// writeLine writes one line.
func writeLine(w io.Writer, v result) error {
	if err := v.Validate(); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// readResults yields the lines of a file.
func readResults[T any, P interface {
	*T
	result
}](path string) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		var r io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if r, err = gzip.NewReader(bufio.NewReader(f)); err != nil {
				yield(nil, fmt.Errorf("%s: %w", path, err))
				return
			}
		}
		if err := parseResults(r, yield); err != nil {
			yield(nil, fmt.Errorf("%s: %w", path, err))
		}
	}
}

// parseResults yields lines until one has an error, or until yield wants no
// more.
func parseResults[T any, P interface {
	*T
	result
}](r io.Reader, yield func(P, error) bool) error {
	seen := map[string]int{}
	return eachLine(r, func(n int, line []byte) error {
		v := P(new(T))
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			return fmt.Errorf("line %d: something follows the object", n)
		}
		if err := v.Validate(); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if before := seen[v.key()]; before > 0 {
			return fmt.Errorf("line %d: the same task and method as in line %d", n, before)
		}
		seen[v.key()] = n
		if !yield(v, nil) {
			return errStop
		}
		return nil
	})
}

// eachLine calls visit with each line, counted from 1. A last one without a
// newline is an error.
func eachLine(r io.Reader, visit func(n int, line []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		i := bytes.IndexByte(data, '\n')
		if i < 0 && atEOF && len(data) > 0 {
			return 0, nil, errCut
		}
		if i < 0 {
			return 0, nil, nil
		}
		return i + 1, data[:i], nil
	})
	n := 0
	for lines.Scan() {
		n++
		switch err := visit(n, lines.Bytes()); {
		case errors.Is(err, errStop):
			return nil
		case err != nil:
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return &lineError{n + 1, err}
	}
	return nil
}

// errCut is the error of a last line without its end.
var errCut = errors.New("has no end: the file has been cut off")

// lineError is an error in reading a line, in contrast to one in what it says.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }
