package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// git runs the git program on one git directory.
type git struct {
	bin string   // path of the program
	dir string   // absolute git directory
	env []string // variables besides those of environment
}

// findGit returns the path of the git program.
func findGit() (string, error) {
	bin, err := exec.LookPath("git")
	if err != nil {
		return "", fmt.Errorf("%w: install it (https://git-scm.com), or give a source tree without .git", ErrNoGit)
	}
	return bin, nil
}

// hardening are the settings of every git process. Given on the command line
// they win over the repository's own configuration, which is not trusted.
var hardening = []string{
	"--no-pager",
	"--literal-pathspecs",
	"-c", "safe.directory=*",
	"-c", "core.fsmonitor=false",
	"-c", "core.hooksPath=" + os.DevNull,
	"-c", "core.attributesFile=" + os.DevNull,
	"-c", "core.askPass=",
	"-c", "log.showSignature=false",
	"-c", "advice.graftFileDeprecated=false",
	"-c", "protocol.ext.allow=never",
	"-c", "gc.auto=0",
	"-c", "maintenance.auto=false",
	"-c", "submodule.recurse=false",
}

// environment returns the variables of a git process. Those of the caller that
// redirect git (GIT_DIR and the like, set for example inside hooks) are dropped.
// A process that only reads also ignores the user's and system's configuration,
// so that results don't depend on them, and may use no transport at all; one
// that fetches keeps what a network needs: proxies, certificates, credential
// helpers, ssh settings.
func environment(network bool) []string {
	keep := []string{
		"GIT_EXEC_PATH", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_", "GIT_HTTP_",
		"GIT_PROXY_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
		"GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_",
	}
	if !network {
		keep = keep[:1]
	}
	var env []string
	for _, kv := range os.Environ() {
		wanted := !strings.HasPrefix(kv, "GIT_")
		for _, k := range keep {
			wanted = wanted || strings.HasPrefix(kv, k)
		}
		if wanted {
			env = append(env, kv)
		}
	}
	env = append(env,
		"LC_ALL=C", // messages are matched and quoted
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_GRAFT_FILE="+os.DevNull,
	)
	if network {
		return append(env, "GIT_ALLOW_PROTOCOL="+strings.Join(fetchProtocols, ":"))
	}
	return append(env,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none",
	)
}

// command prepares a git process that dies with ctx, children included.
func (g *git) command(ctx context.Context, network bool, args ...string) *exec.Cmd {
	all := append([]string{"--git-dir=" + g.dir}, hardening...)
	cmd := exec.CommandContext(ctx, g.bin, append(all, args...)...)
	cmd.Dir = g.dir
	cmd.Env = append(environment(network), g.env...)
	cmd.WaitDelay = 2 * time.Second
	isolate(cmd)
	return cmd
}

// gitError is a git process that exited with a status other than 0.
type gitError struct {
	what   string // subcommand
	stderr string
	err    error
}

func (e *gitError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("git %s: %v", e.what, e.err)
	}
	return fmt.Sprintf("git %s: %s", e.what, e.stderr)
}

func (e *gitError) Unwrap() error { return e.err }

// wrap turns the error of a finished process into one that a person can use.
func wrap(ctx context.Context, what string, stderr *tail, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &gitError{what: what, stderr: stderr.String(), err: err}
}

// outputLimit bounds the output of commands that answer in a few lines.
const outputLimit = 1 << 20

// output runs a reading command with a short answer.
func (g *git) output(ctx context.Context, args ...string) (string, error) {
	return g.run(ctx, false, nil, args...)
}

// run runs a command with a short answer. What it says on stderr goes to
// progress too, if that is not nil.
func (g *git) run(ctx context.Context, network bool, progress io.Writer, args ...string) (string, error) {
	cmd := g.command(ctx, network, args...)
	stdout := tail{max: outputLimit}
	stderr := tail{max: 4096}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if progress != nil {
		cmd.Stderr = io.MultiWriter(&stderr, progress)
	}
	if err := cmd.Run(); err != nil {
		return "", wrap(ctx, args[0], &stderr, err)
	}
	return string(bytes.TrimRight(stdout.b, "\n")), nil
}

// stream runs a reading command and passes its standard output to read while
// it is being written. The process is ended when read returns an error.
func (g *git) stream(ctx context.Context, stdin io.Reader, read func(io.Reader) error, args ...string) error {
	child, stop := context.WithCancel(ctx)
	defer stop()
	cmd := g.command(child, false, args...)
	stderr := tail{max: 4096}
	cmd.Stderr = &stderr
	cmd.Stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("git %s: %w", args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("git %s: %w", args[0], err)
	}
	readErr := read(stdout)
	if readErr != nil && !errors.Is(readErr, errOutputEnded) {
		stop()
		_ = cmd.Wait() // killed on purpose
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return readErr
	}
	if err := wrap(ctx, args[0], &stderr, cmd.Wait()); err != nil {
		return err
	}
	if readErr != nil {
		return fmt.Errorf("git %s: %w", args[0], readErr)
	}
	return nil
}

// errOutputEnded is what a reader of [git.stream] returns when it wanted more.
// The exit status of the process then tells why.
var errOutputEnded = errors.New("output ended early")

// tail keeps the last max bytes written to it.
type tail struct {
	max int
	b   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - t.max; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String returns the text on one line, without progress that a terminal would
// have overwritten.
func (t *tail) String() string {
	var lines []string
	for line := range strings.Lines(string(t.b)) {
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r\n"), '\r'); i >= 0 {
			line = line[i+1:]
		}
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
