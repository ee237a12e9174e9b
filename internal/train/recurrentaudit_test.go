package train

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/evolve"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// TestEvaluateRecurrent trains, and evaluates on repositories of both splits.
func TestEvaluateRecurrent(t *testing.T) {
	c, d := evolvedWorkshop(t, "recurrence: {hidden: 5, diff: {layer: 1, chunk: 32, min: 4}, validation_commits: 3}")
	ctx := t.Context()
	j, err := NewRecurrentJob(ctx, c, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Do(ctx, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	ck, err := evolve.Load(filepath.Join(c.Dir(), CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	e, err := EvaluateRecurrent(ctx, c, d, ck, dataset.Test)
	if err != nil {
		t.Fatal(err)
	}
	if e.Checkpoint != "evo" || e.Split != "test" || e.CommitsPerRepo != 3 || e.Spread.Adapters != 2 {
		t.Errorf("evaluation %+v is not that of the checkpoint on 2 test repositories at 3 commits each", e)
	}
	if e.Audit.Repositories != 2 || e.Audit.Tasks != 2*3*2 || e.Audit.Base == nil || e.Audit.Own == *e.Audit.Base {
		t.Errorf("audit %+v, want one of 12 tasks, with scores of own adapters and of the base", e.Audit)
	}
	if e.Natural.Base == *e.Audit.Base || e.Natural.Own == e.Natural.Base {
		t.Errorf("natural %+v, want scores with other targets than %+v", e.Natural, e.Audit)
	}

	// The tasks are the same in the end, whichever way the space went.
	c.Data.SpaceWithTarget = true
	moved, err := EvaluateRecurrent(ctx, c, d, ck, dataset.Test)
	if err != nil {
		t.Fatal(err)
	}
	if *moved.Natural != *e.Natural || moved.Audit.Own != e.Natural.Own {
		t.Errorf("with space_with_target natural is %+v, without %+v", moved.Natural, e.Natural)
	}
	c.Data.SpaceWithTarget = false

	// On what a run was validated on, it gives what the run did.
	sameAsValidation(t, c, d)
}

// sameAsValidation compares the validation of a run on all validation repositories
// with an evaluation of what it has trained.
func sameAsValidation(t *testing.T, c *Config, d Deps) {
	t.Helper()
	c.Data.ValidationRepositories = 0
	j, err := NewRecurrentJob(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range j.Head.Params() {
		for i := range p.Value {
			p.Value[i] += float32(i%5-2) / 50
		}
	}
	want, err := j.audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := EvaluateRecurrent(t.Context(), c, d, j.Checkpoint(nil), dataset.Validation)
	if err != nil {
		t.Fatal(err)
	}
	e.Audit.Base = nil
	g, _ := json.Marshal(e.Audit)
	w, _ := json.Marshal(want)
	if string(g) != string(w) || want.Repositories != 3 || want.Own == want.Average || want.Own == want.Stranger {
		t.Errorf("evaluation\n%s\nvalidation of 3 repositories\n%s", g, w)
	}
}

func TestEvaluateRecurrentRefuses(t *testing.T) {
	c, d := evolvedWorkshop(t, "recurrence: {hidden: 5, diff: {layer: 1, chunk: 32, min: 4}}")
	j, err := NewRecurrentJob(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	ck := j.Checkpoint(nil)
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no recurrence", func(c *Config) { c.Recurrence = nil }, "no recurrence section"},
		{"another input", func(c *Config) { c.Recurrence.Input = evolve.InputBoth }, ErrSettings.Error()},
		{"another diff", func(c *Config) { c.Recurrence.Diff.Chunk = 64 }, ErrSettings.Error()},
		{"another encoder", func(c *Config) { c.Encoder.Layer = 2 }, hypernet.ErrEncoder.Error()},
		{"long windows", func(c *Config) { c.Data.WindowTokens = 1 << 30 }, "data.window_tokens"},
	} {
		changed := *c
		r := *c.Recurrence
		changed.Recurrence = &r
		tt.change(&changed)
		if _, err := EvaluateRecurrent(t.Context(), &changed, d, ck, dataset.Test); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one that contains %q", tt.name, err, tt.want)
		}
	}
	c.Recurrence.Truncation.Steps++ // concerns training alone
	d.Mirrors = t.TempDir()
	if _, err := EvaluateRecurrent(t.Context(), c, d, ck, dataset.Test); err == nil || errors.Is(err, ErrSettings) {
		t.Errorf("without clones: got error %v, want one of the first repository", err)
	}
}

// TestCheckUse keeps test repositories out of everything but evaluations.
func TestCheckUse(t *testing.T) {
	for _, of := range []dataset.Split{dataset.Train, dataset.Validation, dataset.Test} {
		name := named(of, 1)[0]
		for _, use := range []dataset.Split{dataset.Train, dataset.Validation, dataset.Test} {
			err := checkUse(name, use)
			if (err == nil) != (of == use) {
				t.Errorf("a %s repository for %s: got error %v", of, use, err)
			}
			if of == dataset.Test && use != of && !errors.Is(err, dataset.ErrTestRepository) {
				t.Errorf("a test repository for %s: got error %v, want %v", use, err, dataset.ErrTestRepository)
			}
		}
	}
}
