package tune

import (
	"errors"
	"fmt"
	"slices"

	"github.com/code2lora/code2lora/internal/corpus"
	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/model"
	"github.com/code2lora/code2lora/internal/tokenizer"
	"github.com/code2lora/code2lora/internal/train"
)

// Repository is one repository, cut into windows.
type Repository struct {
	Name  string
	Files [][]train.Window
}

// NumTasks counts the tasks of repositories.
func NumTasks(repos []*Repository) (n int) {
	for _, r := range repos {
		for _, f := range r.Files {
			for _, w := range f {
				n += len(w.Tasks)
			}
		}
	}
	return n
}

// flat is the repository as package train scores it.
func (r *Repository) flat() *train.Repository {
	return &train.Repository{Name: r.Name, Windows: slices.Concat(r.Files...)}
}

// WindowOptions say how files are cut.
type WindowOptions struct {
	Tokens int `yaml:"window_tokens" json:"window_tokens"` // longest window
	// SpaceWithTarget moves the blanks before a target from the prefix to the
	// target, which is where byte-level tokenizers have them. Whoever asks the
	// adapter has to do the same.
	SpaceWithTarget bool `yaml:"space_with_target" json:"space_with_target"`
}

// Validate reports every option that cannot work.
func (o *WindowOptions) Validate() error {
	if o.Tokens < 16 {
		return fmt.Errorf("window_tokens %d: want at least 16", o.Tokens)
	}
	return nil
}

// Cut cuts documents of one repository into windows, until there are most
// tasks (0: all). Which files come first depends on their names alone.
func Cut(t *tokenizer.Tokenizer, name string, docs []*dataset.Document, o WindowOptions, most int) (*Repository, error) {
	r := &Repository{Name: name}
	count := func(s string) int { return len(t.Encode(s)) }
	for _, d := range corpus.Some(docs, most) {
		if d.Repository != name {
			return nil, fmt.Errorf("document of %s among those of %s", d.Repository, name)
		}
		var file []train.Window
		windows, _ := d.Windows(o.Tokens, count)
		for _, w := range windows {
			if o.SpaceWithTarget {
				train.MoveSpaces(w.Text, w.Tasks)
			}
			if w := train.TokenizeWindow(t, w.Text, w.Tasks); len(w.Tasks) > 0 {
				file = append(file, w)
			}
		}
		if len(file) > 0 {
			r.Files = append(r.Files, file)
		}
	}
	return r, nil
}

// errEOS is returned where a base has no token that ends the text.
var errEOS = errors.New("stop eos: the base has no end-of-text token; use next")

// sequence lays out a window: a label for each token of its targets, and one for
// how each is left. weight is that of each label.
func (o *Options) sequence(w *train.Window, eos int32) model.Sequence {
	var s model.Sequence
	end := 0
	for _, t := range w.Tasks {
		for i := t.From; i < t.To; i++ {
			s.Labels = append(s.Labels, model.Label{Pos: i - 1, Target: w.Tokens[i], Weight: 1})
		}
		switch {
		case o.Stop == StopEOS:
			s.Labels = append(s.Labels, model.Label{Pos: t.To - 1, Target: eos, Weight: 1})
		case o.Stop == StopNext && t.To < len(w.Tokens):
			s.Labels = append(s.Labels, model.Label{Pos: t.To - 1, Target: w.Tokens[t.To], Weight: 1})
		}
		if n := len(s.Labels); n > 0 {
			end = s.Labels[n-1].Pos + 1
		}
	}
	s.Tokens = w.Tokens[:end]
	return s
}
