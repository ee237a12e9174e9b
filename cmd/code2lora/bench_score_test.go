package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/repopeft"
)

// TestExecutable: where wrong answers are cut, running the others would find that
// nearly all pass.
func TestExecutable(t *testing.T) {
	run := func(dir string, answers ...*repopeft.Prediction) *gradedRun {
		r := &gradedRun{dir: dir, predictions: map[string]*repopeft.Prediction{}}
		for _, p := range answers {
			r.predictions[p.Task] = p
			r.scores = append(r.scores, &repopeft.Score{Task: p.Task})
		}
		return r
	}
	cut := run("cut", &repopeft.Prediction{Task: "a", Text: "1"}, &repopeft.Prediction{Task: "b", Text: "2 +", Partial: true})
	whole := run("whole", &repopeft.Prediction{Task: "a", Text: "1"}, &repopeft.Prediction{Task: "b", Text: "2 + 3"})
	var said bytes.Buffer
	a := &app{err: &said}
	scores, answers, err := a.executable([]*gradedRun{cut, whole})
	if err != nil || !slices.Equal(answers["a"], []string{"1"}) || !slices.Equal(answers["b"], []string{"2 + 3"}) ||
		len(scores["a"]) != 1 || scores["a"][0] != whole.scores[0] {
		t.Errorf("got answers %v and scores %v, %v, want those of the whole run alone", answers, scores, err)
	}
	if !strings.Contains(said.String(), "tests of cut are not run: 1 of its 2") {
		t.Errorf("got note %q, want the run that takes no part", &said)
	}
	if _, _, err := a.executable([]*gradedRun{cut}); err == nil || !strings.Contains(err.Error(), "--texts") {
		t.Errorf("no whole run: got %v, want what to do", err)
	}
}
