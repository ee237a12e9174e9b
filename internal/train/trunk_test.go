package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/hypernet"
)

// TestTrunkCache trains and evaluates with and without, from the same folder of
// data: every result must be the same to the bit.
func TestTrunkCache(t *testing.T) {
	c, d := workshop(t)
	c.Head.Options["first_layer"] = 1
	d.Trunk = filepath.Join(t.TempDir(), "trunk")
	train := func(size string) (files, said string, e *Evaluation) {
		t.Helper()
		c.Train.TrunkCache = size
		if err := os.RemoveAll(c.Dir()); err != nil {
			t.Fatal(err)
		}
		d.Report = func(format string, args ...any) { said += fmt.Sprintf(format, args...) + "\n" }
		j, err := NewJob(context.Background(), c, d)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Do(context.Background(), func(Progress) {}); err != nil {
			t.Fatal(err)
		}
		files = rate.ReplaceAllString(jobFiles(t, c), "")
		ck, err := hypernet.Load(filepath.Join(c.Dir(), CheckpointFile))
		if err != nil {
			t.Fatal(err)
		}
		if e, err = Evaluate(context.Background(), c, d, ck, dataset.Validation); err != nil {
			t.Fatal(err)
		}
		return files, said, e
	}
	want, said, wantEvaluation := train("")
	if strings.Contains(said, "layer") {
		t.Errorf("without a cache: said %q", said)
	}
	for turn, part := range []string{"lower layers of ", "of 0 computed"} { // the second time nothing is left to compute
		got, said, e := train("1GiB")
		if got != want || !reflect.DeepEqual(e, wantEvaluation) {
			t.Errorf("turn %d: other files, or evaluation %+v, want %+v", turn, e.Audit, wantEvaluation.Audit)
		}
		if !strings.Contains(said, "what enters layer 1 is kept") || !strings.Contains(said, part) || strings.Contains(said, "of 0 tokens") {
			t.Errorf("turn %d: said %q, want %q", turn, said, part)
		}
	}
	c.Head.Options["first_layer"] = 0
	if _, said, _ := train("1GiB"); !strings.Contains(said, "adapts all layers") {
		t.Errorf("all layers adapted: said %q", said)
	}
	c.Train.TrunkCache = "much"
	if err := c.Train.Validate(); err == nil || !strings.Contains(err.Error(), `trunk_cache: size "much"`) {
		t.Errorf("size much: got error %v", err)
	}
}
