package repopeft

import (
	"fmt"

	"github.com/code2lora/code2lora/internal/dataset"
)

// taskRow is a row of tasks.parquet. Columns that the authors' data has are
// named as there, so that tools for the one read the other.
type taskRow struct {
	ID          string `parquet:"task_id,zstd"`
	Repository  string `parquet:"repo_id,dict,zstd"`
	Track       string `parquet:"track,dict,zstd"`
	Split       string `parquet:"cross_repo_split,dict,zstd"`
	InRepo      string `parquet:"in_repo_split,dict,zstd"`
	Commit      string `parquet:"commit_sha,dict,zstd"`
	Parent      string `parquet:"parent_sha,dict,zstd"`
	CommitIndex int32  `parquet:"commit_index,zstd"`
	File        string `parquet:"test_file,dict,zstd"`
	Language    string `parquet:"language,dict,zstd"`
	Kind        string `parquet:"kind,dict,zstd"`
	Family      string `parquet:"assertion_type,dict,zstd"`
	Difficulty  string `parquet:"difficulty,dict,zstd"`
	Function    string `parquet:"test_function,dict,zstd"`
	Class       string `parquet:"test_class,dict,zstd"`
	Line        int32  `parquet:"lineno,zstd"`
	Start       int64  `parquet:"target_start,zstd"`
	End         int64  `parquet:"target_end,zstd"`
	// A prefix mostly begins with the one before it, and is stored as what it
	// has more.
	Prefix string `parquet:"prefix,delta,zstd"`
	Suffix string `parquet:"suffix,zstd"`
	Target string `parquet:"target,zstd"`
	Event  string `parquet:"assertion_event_type,dict,zstd"`
}

// commitRow is a row of commits.parquet.
type commitRow struct {
	Repository string `parquet:"repo_id,dict,zstd"`
	Track      string `parquet:"track,dict,zstd"`
	Split      string `parquet:"cross_repo_split,dict,zstd"`
	InRepo     string `parquet:"in_repo_split,dict,zstd"`
	ID         string `parquet:"commit_sha,zstd"`
	Parent     string `parquet:"parent_sha,zstd"`
	Index      int32  `parquet:"commit_index,zstd"`
	Time       string `parquet:"commit_timestamp,zstd"`
	Diff       string `parquet:"production_code_diff,zstd"`
	New        int32  `parquet:"n_new_assertions,zstd"` // Added + Modified
	Added      int32  `parquet:"n_added_assertions,zstd"`
	Modified   int32  `parquet:"n_modified_assertions,zstd"`
}

func rowOfTask(t *Task) taskRow {
	return taskRow{
		ID: t.ID, Repository: t.Repository, Track: string(t.Track),
		Split: crossRepoSplit(t.Track, t.Split), InRepo: inRepoSplit(t.InRepo),
		Commit: t.Commit, Parent: t.Parent, CommitIndex: int32(t.CommitIndex),
		File: t.File, Language: t.Language, Kind: string(t.Kind), Family: t.Family,
		Difficulty: t.Difficulty, Function: t.Function, Class: t.Class,
		Line: int32(t.Line), Start: int64(t.Start), End: int64(t.End),
		Prefix: t.Prefix, Suffix: t.Suffix, Target: t.Target, Event: t.Event,
	}
}

func rowOfCommit(c *Commit) commitRow {
	return commitRow{
		Repository: c.Repository, Track: string(c.Track),
		Split: crossRepoSplit(c.Track, c.Split), InRepo: inRepoSplit(c.InRepo),
		ID: c.ID, Parent: c.Parent, Index: int32(c.Index), Time: c.Time, Diff: c.Diff,
		New: int32(c.Added + c.Modified), Added: int32(c.Added), Modified: int32(c.Modified),
	}
}

// crossRepoSplit is the authors' word for the split of a repository. It says
// nothing about repositories of the OOD track, whose split is that of the name.
func crossRepoSplit(track Track, split dataset.Split) string {
	switch {
	case track == OOD:
		return "ood_test"
	case split == dataset.Validation:
		return "cr_val"
	case split == dataset.Test:
		return "cr_test"
	}
	return string(split)
}

// inRepoSplit is the authors' word for the split inside a repository.
func inRepoSplit(split dataset.Split) string {
	if split == dataset.Validation {
		return "val"
	}
	return string(split)
}

// parseCrossRepo is the inverse of crossRepoSplit for the authors' data, where
// all OOD repositories are there to test with. "ir_val" and "ir_test" are names
// of suites, all of whose repositories are training repositories.
func parseCrossRepo(s string) (split dataset.Split, ood bool, err error) {
	switch s {
	case "train", "ir_val", "ir_test":
		return dataset.Train, false, nil
	case "cr_val", "val":
		return dataset.Validation, false, nil
	case "cr_test", "test":
		return dataset.Test, false, nil
	case "ood_test", "ood":
		return dataset.Test, true, nil
	}
	return "", false, fmt.Errorf(`cross_repo_split is %q, want "train", "cr_val", "cr_test" or "ood_test"`, s)
}

// parseInRepo is the inverse of inRepoSplit. The authors leave it empty where a
// split inside the repository has no meaning.
func parseInRepo(s string) (dataset.Split, error) {
	switch s {
	case "", "train", "test":
		return dataset.Split(s), nil
	case "val", "validation":
		return dataset.Validation, nil
	}
	return "", fmt.Errorf(`in_repo_split is %q, want "train", "val" or "test"`, s)
}
