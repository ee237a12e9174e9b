package execute

// Places inside of a sandbox.
const (
	scratch = "/tmp" // writable, in memory, gone in the end
	workDir = scratch + "/work"
	homeDir = scratch + "/home"
)
