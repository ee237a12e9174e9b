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

// metrics appends to a metrics file.
type metrics struct{ f *os.File }

// openMetrics opens the metrics of a run that stands at the given step, and
// drops what was written after it: those steps will be taken again.
func openMetrics(path string, step int) (*metrics, error) {
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
		var p Progress
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
	return &metrics{f}, nil
}

// add writes one line.
func (m *metrics) add(p Progress) error {
	line, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("metrics of step %d: %w", p.Step, err)
	}
	_, err = m.f.Write(append(line, '\n'))
	return err
}

func (m *metrics) close() error { return m.f.Close() }
