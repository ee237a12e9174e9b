// Package code2lora turns a repository into a LoRA adapter for a frozen code
// language model, and completes code with it.
//
// This package has no code. It tells the way of the data: a repository becomes
// a vector, the vector becomes an adapter, the adapter changes a language
// model, and the model completes. Training goes the same way back: from the
// loss of the completion, through the frozen model, into the factors of the
// adapter and into the weights of the hypernetwork, where it stops.
//
// The packages of internal/, in the order of that way, and what they stand on:
//
// # From the repository to a vector
//
// gitrepo reads the files of a repository at a commit without checking
// anything out: from a work tree, a bare repository, a URL, a plain source tree
// or an archive. What it leaves out it reports, with the reason.
//
// encoder turns these files into a vector: windows of tokens through the first
// layers of the frozen base model, pooled over windows, files and the
// repository. File vectors are cached by blob, so a new commit costs the files
// that it changed.
//
// embedding holds what passes from an encoder to a hypernetwork: a
// representation, made of named tensors. The vector is one of them; a generator
// that solves for weights would read others, and no caller would notice.
//
// # From the vector to an adapter
//
// hypernet generates an adapter from a representation, forward and backward.
// It has the direct head of arXiv 2606.06492, a factored one that fits into a few
// megabytes, and Text2LoRA, which reads a description; it standardises its input, and reads and writes checkpoints.
//
// evolve has the state of a repository that follows its commits: a recurrence
// over diffs whose output is the context of a head, or sums over its files that
// are kept up to date.
//
// aggregate has these sums: exact, so that what was added can be taken away, and
// all ways to a commit lead to the same bits.
//
// state keeps such states, a folder or a bucket full of them, for all processes
// and machines that follow a repository.
//
// follow carries states over the commits of a repository, from the nearest one
// that is stored; it watches refs, installs git's hooks, and measures how far
// states have drifted.
//
// runs, which is not in internal/, has the configurations of the training runs
// and the checkpoints that come with the program.
//
// adapter is the noun in the middle: the factors A and B of each adapted layer,
// with their provenance. It reads and writes them as native folders, PEFT
// folders and GGUF files, compares adapters, and merges one into a base model.
// It knows nothing of who made an adapter or who uses it.
//
// adapt is the main job, all of the above in one call: a repository in, an
// adapter and a report out.
//
// # From the adapter to a completion
//
// model is the frozen language model: weights from a GGUF file, the forward
// pass with unmerged adapters over sequences without padding, and the backward
// pass to these adapters. It also gives hidden states to the encoder.
//
// compute is the one way to the model for all of training and evaluation:
// requests that say everything, answered in this process, over several workers,
// or with the lower layers read from disk, to the same bits.
//
// tokenizer turns text into the tokens of a model, and back.
//
// engine completes a prompt with a model and an adapter: prefill, decoding
// with a key/value cache, sampling, stop sequences, streaming.
//
// score measures how well a model, with or without an adapter, predicts the
// targets of tasks: exact match and cross-entropy.
//
// # From history to a hypernetwork
//
// syntax reads Python, Go, JavaScript, TypeScript and Java by their grammars,
// and finds definitions, assertions, calls and lines. It is the only package
// that uses cgo.
//
// dataset cuts the assertions of test files into tasks, and decides which
// repositories belong to training, validation and test.
//
// repopeft has the data of the benchmark: tasks, the commits they belong to,
// what methods answered, and how good that was.
//
// disclosure decides what a method of the benchmark may see of a repository: the
// files at one commit but the one that is asked about and its copies, with or
// without tests.
//
// mine makes the benchmark from repositories: snapshots and histories become
// tasks, by the rules of the paper's code or by stricter ones.
//
// metric says how good an answer is: exact match, edit similarity, BLEU and
// CodeBLEU, and the kind of a mistake; in a reading that never sees the target,
// and in the paper's, which does.
//
// retrieve makes the text that a method without an adapter puts before a prefix:
// chunks like it, the definitions that it uses, other tests.
//
// sample fetches the repository that the demo adapts to, one of the test split,
// and picks the assertions that it completes.
//
// corpus has the tasks that something is trained or tuned on, of mined datasets and
// of the benchmark, in the files that they are in.
//
// train fits a hypernetwork: it prepares the data, takes steps, compares the
// adapters of unseen repositories with the average one, and resumes to the same
// bits.
//
// method has the methods that the benchmark compares behind one interface, from
// the bare base to hypernetworks and their controls, and runs them on tasks.
//
// execute runs the tests of a repository with an answer in place, in a sandbox.
//
// audit tells whether a generator of adapters uses the repository that it is
// given, or only looks as if.
//
// tune fits adapters directly, by gradient, for all repositories or for one: what
// a hypernetwork is compared with.
//
// curves draws the metrics of a run.
//
// report shows the results of the benchmark as a page: tables, comparisons and
// figures, each with the runs that it is from.
//
// bench measures how fast all of this is on a machine, and how far from what
// the machine can do.
//
// # What they stand on
//
// nn has the layers of a decoder block with Forward and Backward, on float32
// slices, and explains the letters that stand for dimensions.
//
// kernel has the arithmetic below: matrix products, vector operations and
// exponentials, in plain Go and in generated assembly. See docs/kernels.md.
//
// gguf and safetensors read and write the two file formats of weights, without
// trusting what they read. half has the conversions of 16-bit floats that both
// need.
//
// catalog knows the base models by name, where each comes from and what its
// digest is; hub is its client of a model hub, and shares the cache of the
// Python tools.
//
// lru keeps what was used last, within a bound.
//
// memory knows how much memory may still be used, and refuses what needs more
// before it is allocated.
//
// stats says how sure results are: intervals that draw repositories rather than
// tasks, tests of pairs, effect sizes.
//
// store keeps the files that the program writes for itself: whole or not at
// all, locked, below one folder.
//
// testutil is for tests.
//
// # The program
//
// cmd/code2lora has a file for each group of subcommands: flags in, results
// out, exit codes in one table. docs/commands.md is its reference,
// docs/formats.md describes every file that it reads or writes.
//
// The layers that these packages form, and what each may import, are in
// layers_test.go, which fails when they are not kept. docs/adr has the
// decisions behind them.
package code2lora
