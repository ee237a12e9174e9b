package repopeft

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/code2lora/code2lora/internal/store"
)

// The files of a run.
const (
	runFile         = "run.json"
	predictionsFile = "predictions.jsonl.gz"
	lockFile        = "lock"
)

// ScoresFile is the file of a run's folder that has a [Score] for each of its
// predictions. It has no code.
const ScoresFile = "scores.jsonl.gz"

// ErrRunUnfinished is returned for a run that hasn't answered all of its tasks.
var ErrRunUnfinished = errors.New("the run is not finished")

// RunInfo is all that decides the predictions of a run.
type RunInfo struct {
	Format     int            `json:"format"`             // set by CreateRun
	Tool       string         `json:"tool"`               // program and version
	Command    []string       `json:"command"`            // as it was started first
	Method     string         `json:"method"`             // as in its predictions
	Level      string         `json:"level"`              // of disclosure
	Settings   map[string]any `json:"settings,omitempty"` // of the method
	Base       string         `json:"base"`               // name of the base model
	BaseSHA256 string         `json:"base_sha256"`
	Checkpoint string         `json:"checkpoint,omitempty"` // SHA-256 of the hypernetwork or adapter, if the method has one
	Benchmark  string         `json:"benchmark"`            // digest of its manifest
	Tasks      map[string]any `json:"tasks,omitempty"`      // which tasks of the benchmark: the filter and caps
	Precision  string         `json:"precision"`
	Seed       uint64         `json:"seed"`
}

// runState is run.json.
type runState struct {
	RunInfo
	Finished *finished `json:"finished,omitempty"`
}

// finished is in the run.json of a finished run.
type finished struct {
	Predictions int    `json:"predictions"`
	SHA256      string `json:"sha256"` // of predictions.jsonl.gz
}

// Run is a folder in which the answers of a method collect:
//
//	run.json               RunInfo, and whether the run is finished
//	predictions.jsonl.gz   a Prediction a line; when finished, sorted by task
//	lock                   taken by the process that appends
//
// A run can be cut off at any time and continued. Its methods may be called by
// several goroutines at once.
type Run struct {
	dir    string
	unlock func()

	mu    sync.Mutex
	state runState
	done  map[string]bool
	file  *os.File // for appending; nil if the run is finished
	size  int64
	cut   error
}

// CreateRun begins a run in a folder, or continues the one that is there. One
// with other settings is refused, with the names of those that differ;
// Command is not compared, nor is Checkpoint where the run has none. The caller ends with Close.
func CreateRun(dir string, info RunInfo) (*Run, error) {
	info.Format = formatVersion
	if err := first(text("method", info.Method, true), text("benchmark", info.Benchmark, true)); err != nil {
		return nil, fmt.Errorf("run %s: %w", dir, err)
	}
	return openRun(dir, func() (runState, error) {
		switch state, err := readState(dir); {
		case err == nil:
			if state.Checkpoint == "" {
				info.Checkpoint = "" // begun by a version that didn't record it
			}
			if differ := differences(state.RunInfo, info); len(differ) > 0 {
				return state, fmt.Errorf("there is a run with other settings (%s): choose another folder, or remove it", strings.Join(differ, ", "))
			}
			return state, nil
		case !errors.Is(err, os.ErrNotExist):
			return state, err
		}
		if _, err := os.Stat(filepath.Join(dir, predictionsFile)); err == nil {
			return runState{}, fmt.Errorf("it has %s, but no %s that says of what", predictionsFile, runFile)
		}
		state := runState{RunInfo: info}
		return state, writeState(dir, state)
	})
}

// OpenRun opens the run of a folder, to continue it. The caller ends with
// Close.
func OpenRun(dir string) (*Run, error) {
	if _, err := os.Stat(filepath.Join(dir, runFile)); err != nil {
		return nil, err // and no lock is left where there is no run
	}
	return openRun(dir, func() (runState, error) { return readState(dir) })
}

// openRun takes the lock of a folder, calls state, and reads what is there.
func openRun(dir string, state func() (runState, error)) (r *Run, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("run %s: %w", dir, err)
		}
	}()
	unlock, ok, err := store.TryLock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("another process is at work on it")
	}
	r = &Run{dir: dir, unlock: unlock, done: map[string]bool{}}
	if r.state, err = state(); err == nil {
		err = r.load()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// readState reads run.json.
func readState(dir string) (runState, error) {
	var s runState
	path := filepath.Join(dir, runFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", runFile, err)
	}
	if s.Format != formatVersion {
		return s, fmt.Errorf("%s: format %d, want %d", runFile, s.Format, formatVersion)
	}
	return s, nil
}

// ReadRunInfo returns what a run was created with, and whether it is finished.
// It needs no predictions and takes no lock.
func ReadRunInfo(dir string) (info RunInfo, done bool, err error) {
	state, err := readState(dir)
	if err != nil {
		return RunInfo{}, false, fmt.Errorf("run %s: %w", dir, err)
	}
	return state.RunInfo, state.Finished != nil, nil
}

// writeState writes run.json.
func writeState(dir string, s runState) error {
	return store.WriteFile(filepath.Join(dir, runFile), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	})
}

// differences returns the JSON names of the fields in which two runs differ,
// apart from the command.
func differences(a, b RunInfo) (names []string) {
	a.Command, b.Command = nil, nil
	fields := func(i RunInfo) (m map[string]any) {
		data, err := json.Marshal(i)
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			return map[string]any{"settings": err.Error()} // writing it will report the same
		}
		return m
	}
	m, n := fields(a), fields(b)
	for name := range m {
		if !reflect.DeepEqual(m[name], n[name]) {
			names = append(names, name)
		}
	}
	for name := range n {
		if _, ok := m[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// load reads which tasks are done. What a cut has left at the end of the file
// is removed, so that these tasks are asked again.
func (r *Run) load() error {
	path := filepath.Join(r.dir, predictionsFile)
	if r.state.Finished != nil {
		return r.loadFinished(path)
	}
	all, cut, err := salvage(path)
	if err != nil {
		return err
	}
	if r.cut = cut; cut != nil {
		if err := WritePredictions(path, slices.Values(all)); err != nil {
			return err
		}
	}
	for _, p := range all {
		if err := r.check(p); err != nil {
			return fmt.Errorf("%s: %w", predictionsFile, err)
		}
		r.done[p.Task] = true
	}
	if r.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	r.size = info.Size()
	return nil
}

// loadFinished checks the predictions of a finished run.
func (r *Run) loadFinished(path string) error {
	got, err := digestOf(path)
	if err != nil {
		return err
	}
	if want := r.state.Finished.SHA256; got != want {
		return fmt.Errorf("SHA-256 of %s is %s, %s has %s", predictionsFile, got, runFile, want)
	}
	for p, err := range Predictions(path) {
		if err != nil {
			return err
		}
		r.done[p.Task] = true
	}
	if got, want := len(r.done), r.state.Finished.Predictions; got != want {
		return fmt.Errorf("%s has %d predictions, %s has %d", predictionsFile, got, runFile, want)
	}
	return nil
}

// salvage reads predictions up to where the file has been cut; cut is nil if it
// hasn't, and says how otherwise. A whole line that is wrong is an error.
func salvage(path string) (all []*Prediction, cut, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		return nil, nil, err // nothing was appended yet
	}
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err, nil
	}
	err = parseResults(zip, func(p *Prediction, _ error) bool {
		all = append(all, p)
		return true
	})
	var line *lineError
	if errors.As(err, &line) {
		return all, err, nil
	}
	return all, nil, err
}

// Info returns what the run was created with.
func (r *Run) Info() RunInfo { return r.state.RunInfo }

// Finished reports whether the run is finished.
func (r *Run) Finished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Finished != nil
}

// Cut tells how the file of predictions had been cut when the run was opened,
// or nil. The tasks that it lost are not in Done.
func (r *Run) Cut() error { return r.cut }

// Done returns the ids of the tasks that have been answered.
func (r *Run) Done() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := make(map[string]bool, len(r.done))
	for id := range r.done {
		done[id] = true
	}
	return done
}

// check reports a prediction that doesn't belong to the run.
func (r *Run) check(p *Prediction) error {
	switch {
	case p.Method != r.state.Method:
		return fmt.Errorf("task %s: prediction of method %q, the run is of %q", p.Task, p.Method, r.state.Method)
	case p.Level != r.state.Level:
		return fmt.Errorf("task %s: prediction at level %q, the run is at %q", p.Task, p.Level, r.state.Level)
	case r.done[p.Task]:
		return fmt.Errorf("task %s: it has been answered already", p.Task)
	}
	return nil
}

// Append adds predictions, all or none. They compress better in larger numbers,
// and those of calls that have returned survive the end of the process.
func (r *Run) Append(predictions ...*Prediction) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return fmt.Errorf("run %s: it is finished or closed", r.dir)
	}
	var member bytes.Buffer // each call writes one member of the gzip file
	zip := gzip.NewWriter(&member)
	tasks := map[string]bool{}
	for _, p := range predictions {
		err := r.check(p)
		if err == nil && tasks[p.Task] {
			err = fmt.Errorf("task %s: it is given twice", p.Task)
		}
		if err == nil {
			err = writeLine(zip, p)
		}
		if err != nil {
			return fmt.Errorf("run %s: %w", r.dir, err)
		}
		tasks[p.Task] = true
	}
	if len(predictions) == 0 {
		return nil
	}
	if err := zip.Close(); err != nil {
		return err
	}
	if _, err := r.file.Write(member.Bytes()); err != nil {
		return errors.Join(err, r.file.Truncate(r.size))
	}
	r.size += int64(member.Len())
	for id := range tasks {
		r.done[id] = true
	}
	return nil
}

// Finish marks the run as finished. Its predictions are sorted by task, so that
// the file doesn't tell in which order they came or how often the run was cut.
func (r *Run) Finish() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return fmt.Errorf("run %s: it is finished or closed", r.dir)
	}
	path := filepath.Join(r.dir, predictionsFile)
	var all []*Prediction
	if r.size > 0 {
		for p, err := range Predictions(path) {
			if err != nil {
				return err
			}
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *Prediction) int { return strings.Compare(a.Task, b.Task) })
	if err := r.file.Close(); err != nil {
		return err
	}
	r.file = nil
	if err := WritePredictions(path, slices.Values(all)); err != nil {
		return err
	}
	digest, err := digestOf(path)
	if err != nil {
		return err
	}
	r.state.Finished = &finished{Predictions: len(all), SHA256: digest}
	return writeState(r.dir, r.state)
}

// Close gives the folder free. What has been appended stays.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.file != nil {
		err = first(r.file.Sync(), r.file.Close())
		r.file = nil
	}
	if r.unlock != nil {
		r.unlock()
		r.unlock = nil
	}
	return err
}

// ReadRun returns the predictions of a finished run, sorted by task, or
// [ErrRunUnfinished].
func ReadRun(dir string) (RunInfo, []*Prediction, error) {
	fail := func(err error) (RunInfo, []*Prediction, error) {
		return RunInfo{}, nil, fmt.Errorf("run %s: %w", dir, err)
	}
	state, err := readState(dir)
	if err != nil {
		return fail(err)
	}
	if state.Finished == nil {
		return fail(ErrRunUnfinished)
	}
	r := &Run{dir: dir, state: state, done: map[string]bool{}}
	path := filepath.Join(dir, predictionsFile)
	if err := r.loadFinished(path); err != nil {
		return fail(err)
	}
	all := make([]*Prediction, 0, len(r.done))
	for p, err := range Predictions(path) {
		if err != nil {
			return fail(err)
		}
		all = append(all, p)
	}
	return state.RunInfo, all, nil
}
