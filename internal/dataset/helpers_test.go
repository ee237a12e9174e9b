package dataset

import (
	"context"

	"github.com/code2lora/code2lora/internal/testutil"
)

const golden = testutil.Golden

// memory is a Source of files in memory.
type memory struct {
	name, commit string
	files        map[string]string
}

func (m memory) Name() string   { return m.name }
func (m memory) Commit() string { return m.commit }

func (m memory) Each(_ context.Context, visit func(path string, content []byte) error) error {
	for path, content := range m.files {
		if err := visit(path, []byte(content)); err != nil {
			return err
		}
	}
	return nil
}
