// Package mine makes the tasks of RepoPeftBench from the histories of
// repositories.
//
// [Run] takes repositories, opens each, and mines what its [Options] want:
//
//	survey      commit, first commit, licence, files       every repository
//	copies      forks and copies of others are left out    all together
//	shards      static: one snapshot                       every repository on its own,
//	            history: all commits along first parents   several at the same time
//	merge       labels, dates, near-duplicates, files      in the order of names
//	            that several have; the Parquet files
//
// What comes from a repository alone is kept in shards below the work folder, by
// repository and by the digest of the rules. So an interrupted run goes on where
// it was, and a history with new commits costs those: the state of a shard has
// the keys of all files at the commit that was read last. What depends on other
// repositories, on dates or on the number of commits is decided in the merge.
// The same repositories and options give the same bytes, however many jobs
// there are and in however many runs the shards were made.
//
// There are two profiles. [Paper] has the rules of the authors' code
// (arXiv 2606.06492), [Strict] has ours; docs/benchmark.md tells both.
package mine
