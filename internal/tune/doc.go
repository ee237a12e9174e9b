// Package tune fits adapters directly, by gradient: what a hypernetwork is
// compared with. No representation of a repository has a part in it.
//
// A [Fit] is one adapter:
//
//   - a LoRA adapter (arXiv 2106.09685) for all training repositories, or for
//     the own tasks of one;
//   - or all weights of some layers. That is an adapter too, of rank D: where a
//     layer reads the residual stream, A is the identity and stays so, and B is
//     ΔW; where it writes to it, B is the identity and A is ΔW. The gradient of
//     the free factor is then exactly that of the weights, and neither the model
//     nor anything that reads adapters has to know.
//
// A [corpus.Corpus] has the tasks, read from mined folders or from a benchmark. Files
// are read in windows with several labelled targets, so that a file costs one
// pass and not one for each task. The token that leaves a target is learned too
// (see [Options.Stop]): a method that never learns to stop has no exact match.
//
// Training tasks come from training repositories, and of these only what is
// labelled so within the repository. A shared adapter is chosen by validation
// repositories, that of one repository by its own validation tasks. Nothing is
// ever chosen by a test repository.
//
// A [Job] is a configuration: one shared adapter or one for each repository, for
// one set of options or the best of a grid, by validation alone. Every part of it
// can be interrupted and continued, to the same bits.
package tune
