package curves

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/follow"
)

func TestDrift(t *testing.T) {
	far, near := 0.5, 0.4
	list := []follow.Drift{{Steps: 20, Distance: 0.3, Anchored: &far}, {Steps: 10, Distance: 0.2, Anchored: &near}, {Steps: 5, Distance: 0.1}}
	w, err := Drift(list)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "commits since the anchor", "state that followed", "state at the anchor"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the drawing lacks %q", want)
		}
	}
	if strings.Contains(b.String(), "loss above") {
		t.Error("a panel of losses, where none were measured")
	}
	more := 0.01
	list[1].Loss = &follow.Losses{EvolvedFresh: -0.02, EvolvedAnchored: &more}
	if w, err = Drift(list); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"state that followed", "loss above", "a fresh state", "the state at the anchor"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the drawing with losses lacks %q", want)
		}
	}
	list[0].Distance = math.Inf(1)
	if _, err := Drift(list); err == nil {
		t.Error("an infinite distance: want an error")
	}
}
