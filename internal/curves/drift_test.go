package curves

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/follow"
)

func TestDrift(t *testing.T) {
	list := []follow.Drift{{Steps: 20, Distance: 0.3, Anchored: 0.5}, {Steps: 10, Distance: 0.2, Anchored: 0.4}}
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
	list[0].Distance = math.Inf(1)
	if _, err := Drift(list); err == nil {
		t.Error("an infinite distance: want an error")
	}
}
