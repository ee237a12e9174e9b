package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// run is a scored run.
type run struct {
	number int // from 1
	dir    string
	info   repopeft.RunInfo
	spec   spec
	label  string // of its method
	digest string // SHA-256 of the scores
	scores []*repopeft.Score
	left   string // what is missing of it, or ""
}

// name is how tables refer to a run.
func (r *run) name() string { return fmt.Sprintf("R%d", r.number) }

// cut reports whether the run was made without --texts, so that wrong answers
// end where they were known to be wrong.
func (r *run) cut() bool { return r.info.Settings["texts"] == false }

// reader reads runs, each folder once.
type reader struct {
	runs  []*run
	byDir map[string]*run
	words map[string]string
}

func newReader() *reader { return &reader{byDir: map[string]*run{}, words: map[string]string{}} }

// run returns the run of a folder.
func (rd *reader) run(dir string) (*run, error) {
	key, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if r := rd.byDir[key]; r != nil {
		return r, nil
	}
	info, finished, err := repopeft.ReadRunInfo(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no run: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	r := &run{number: len(rd.runs) + 1, dir: dir, info: info, spec: parseSpec(info.Method), label: info.Method}
	path := filepath.Join(dir, repopeft.ScoresFile)
	if r.digest, err = digestOf(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf(`run %s has no %s: score it with "bench score" first`, dir, repopeft.ScoresFile)
	} else if err != nil {
		return nil, err
	}
	for s, err := range repopeft.Scores(path) {
		if err != nil {
			return nil, err
		}
		if s.Method != info.Method || s.Level != info.Level {
			return nil, fmt.Errorf("%s: task %s is answered by %q at level %q, the run is of %q at level %q",
				path, s.Task, s.Method, s.Level, info.Method, info.Level)
		}
		rd.intern(s)
		r.scores = append(r.scores, s)
	}
	if len(r.scores) == 0 {
		return nil, fmt.Errorf("%s: no scores", path)
	}
	if r.spec.readsTests() {
		r.info.Level = treeLevel // earlier versions let it run at the other one
	}
	slices.SortFunc(r.scores, func(a, b *repopeft.Score) int { return strings.Compare(a.Task, b.Task) })
	r.left = left(r, finished)
	rd.runs = append(rd.runs, r)
	rd.byDir[key] = r
	return r, nil
}

// left says what a run still has to do.
func left(r *run, finished bool) string {
	of := ""
	n, ok := r.info.Tasks["n"].(float64) // numbers of JSON objects
	if ok {
		of = fmt.Sprintf(" of %.0f", n)
	}
	switch {
	case !finished:
		return fmt.Sprintf("unfinished: %d%s tasks", len(r.scores), of)
	case ok && len(r.scores) < int(n):
		return fmt.Sprintf("%d%s tasks are scored", len(r.scores), of)
	}
	return ""
}

// intern shares the memory of what many scores say.
func (rd *reader) intern(s *repopeft.Score) {
	for _, p := range []*string{&s.Task, &s.Repository, &s.Family, &s.Difficulty, &s.Language, &s.Method, &s.Level, &s.Error} {
		w, ok := rd.words[*p]
		if !ok {
			w = *p
			rd.words[w] = w
		}
		*p = w
	}
}

// ErrName is returned for a name that is no METHOD=LABEL of a run.
var ErrName = errors.New("name")

// name gives methods their labels, SPEC=LABEL.
func (rd *reader) name(names []string) error {
	for _, n := range names {
		found := ""
		for _, r := range rd.runs { // the longest, as specs have equals signs of their own
			if strings.HasPrefix(n, r.info.Method+"=") && len(r.info.Method) > len(found) {
				found = r.info.Method
			}
		}
		label := strings.TrimSpace(strings.TrimPrefix(n, found+"="))
		if found == "" || label == "" {
			return fmt.Errorf("%w %q: want METHOD=LABEL, where METHOD is that of a run", ErrName, n)
		}
		for _, r := range rd.runs {
			if r.info.Method == found {
				r.label = label
			}
		}
	}
	return nil
}

// digestOf returns the SHA-256 of a file.
func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readJSON reads a file with one JSON object. Errors name the line. Fields that
// v doesn't have are an error if strict.
func readJSON(path string, v any, strict bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	if strict {
		dec.DisallowUnknownFields()
	}
	if err = dec.Decode(v); err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("something follows the object")
		}
	}
	if err == nil {
		return nil
	}
	at := dec.InputOffset()
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &typ):
		at = typ.Offset
	}
	if _, field, ok := strings.Cut(err.Error(), "json: unknown field "); ok { // it has no offset
		if i := strings.Index(string(data), field); i >= 0 && strings.Count(string(data), field) == 1 {
			at = int64(i)
		}
	}
	line := 1 + strings.Count(string(data[:min(int(at), len(data))]), "\n")
	return fmt.Errorf("%s line %d: %w", path, line, err)
}
