package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// metricsFile is the name of a run's metrics inside its folder.
const metricsFile = "metrics.jsonl"

// Metrics appends to a metrics file: an object per line, each with the number
// of its "step".
type Metrics struct{ f *os.File }

// OpenMetrics opens the metrics of a run that stands at the given step, and
// drops what was written after it: those steps will be taken again.
func OpenMetrics(path string, step int) (*Metrics, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	keep := 0
	for rest := old; ; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		var p struct{ Step int }
		if json.Unmarshal(rest[:end], &p) != nil || p.Step > step {
			break
		}
		keep += end + 1
		rest = rest[end+1:]
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(int64(keep)); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(int64(keep), 0); err != nil {
		f.Close()
		return nil, err
	}
	return &Metrics{f}, nil
}

// Add writes one line.
func (m *Metrics) Add(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err = m.f.Write(append(line, '\n'))
	return err
}

// Close closes the file.
func (m *Metrics) Close() error { return m.f.Close() }
