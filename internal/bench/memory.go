package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/code2lora/code2lora/internal/kernel"
	"github.com/code2lora/code2lora/internal/model"
)

// memory reports the peak memory of decoding in a process of its own.
func (r *runner) memory(ctx context.Context, n *network, p kernel.Precision) error {
	var peaks []float64
	for range min(r.Rounds, memoryRounds) {
		r.progress("%s, %v: memory", n.name, p)
		bytes, err := r.Peak(ctx, Model{n.name, n.path}, p)
		if err != nil {
			return fmt.Errorf("memory: %w", err)
		}
		peaks = append(peaks, float64(bytes)/1e6)
	}
	r.add(Figure{Work: Memory, Variant: fmt.Sprintf("%d+%d tokens", promptTokens, decodeTokens), Model: n.name,
		Precision: p.String(), Unit: "MB", Sample: sample(peaks)}, nil)
	return nil
}

// memoryRounds is how often memory is measured at most: it varies little.
const memoryRounds = 3

// DecodeOnce loads a model and decodes, in the precision in use, what the works
// Decode and Memory do.
func DecodeOnce(ctx context.Context, m Model) error {
	loaded, _, err := model.Load(m.Path)
	if err != nil {
		return err
	}
	defer loaded.Close()
	_, err = greedy(loaded, requests(loaded, 1, nil), decodeTokens)(ctx)
	return err
}

// PeakMemory returns the largest amount of memory that this process has had in
// use, files that it has mapped included, in bytes.
func PeakMemory() (int64, error) {
	// Not getrusage: a process starts with the peak of the one that started it.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("peak memory is only known on Linux: %w", err)
	}
	return parsePeak(string(status))
}

func parsePeak(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("VmHWM of /proc/self/status is %q: want a number of kB", strings.TrimSpace(rest))
			}
			return kb << 10, nil
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}
