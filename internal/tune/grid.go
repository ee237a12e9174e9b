package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/code2lora/code2lora/internal/safetensors"
	"github.com/code2lora/code2lora/internal/train"
)

// Names of a grid's files in the job's folder.
const (
	GridFile = "grid.json"
	gridDir  = "grid"
)

// Grid is what every combination of options came to.
type Grid struct {
	Points []Tried `json:"points"`
	// Best is the index of the point with the best validation, or -1 if all
	// failed.
	Best int `json:"best"`
	// SelectedBy says what that means; it is never anything of a test repository.
	SelectedBy string `json:"selected_by"`
}

// Tried is one point.
type Tried struct {
	Name       string      `json:"name"`
	Validation train.Total `json:"validation"`
	Error      string      `json:"error,omitempty"` // why it failed; then it has no results
	Result     *Result     `json:"result,omitempty"`
	// Repositories are the fits of a point of the target repositories.
	Repositories []RepositoryResult `json:"repositories,omitempty"`
}

// grid tries all points in folders of their own, each of which continues where
// it was, and writes the record. A point that fails is recorded, too.
func (j *Job) grid(ctx context.Context, dir string, points []Point, try func(context.Context, Point, string) (*Tried, error)) (*Grid, error) {
	g := &Grid{Best: -1, SelectedBy: points[0].Options.Select}
	for i, p := range points {
		j.Report("grid: point %d of %d, %s", i+1, len(points), p.Name)
		t, err := try(ctx, p, filepath.Join(dir, gridDir, p.Name))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			j.Report("grid: %s failed: %v", p.Name, err)
			t = &Tried{Error: err.Error()}
		}
		t.Name = p.Name
		g.Points = append(g.Points, *t)
		worse := -1
		switch {
		case err != nil:
		case g.Best < 0:
			g.Best = i
		case p.Options.Better(t.Validation, g.Points[g.Best].Validation):
			worse, g.Best = g.Best, i
		default:
			worse = i
		}
		// Only the best adapter is kept; the others take much space.
		if worse >= 0 {
			if err := os.RemoveAll(AdapterDir(filepath.Join(dir, gridDir, points[worse].Name))); err != nil {
				return nil, err
			}
		}
		if err := writeJSON(filepath.Join(dir, GridFile), g); err != nil {
			return nil, err
		}
	}
	if g.Best < 0 {
		return nil, fmt.Errorf("all %d points of the grid failed, see %s; the last: %s", len(points), filepath.Join(dir, GridFile), g.Points[len(points)-1].Error)
	}
	return g, nil
}

func dtype(o *Options) safetensors.DType { return safetensors.DType(o.Store) }
