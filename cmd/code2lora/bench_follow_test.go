package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/repopeft"
)

func TestByDistance(t *testing.T) {
	var scores []*repopeft.Score
	for i := range 6 {
		scores = append(scores, &repopeft.Score{Repository: "o/r", CommitIndex: i, Exact: i < 3})
	}
	data, err := json.Marshal(byDistance(scores))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"from":0,"to":0`, `"from":2,"to":3,"exact":{"mean":0.5`, `"from":4,"to":7,"exact":{"mean":0`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("got %s, want %s in it", data, want)
		}
	}
	if got := byDistance(scores[:1]); got != nil {
		t.Errorf("one distance: got %v, want nothing", got)
	}
}
