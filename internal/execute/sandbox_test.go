//go:build linux

package execute

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

// try runs a shell script in a sandbox, around a folder with one file.
func try(t *testing.T, script string, l Limits, env ...string) *Outcome {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("original"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := Run(context.Background(), Program{Dir: dir, Argv: []string{"sh", "-c", script}, Env: env,
		Replace: map[string][]byte{"answer": []byte("42")}}, l)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "original" {
		t.Errorf("the original is now %q, %v", got, err)
	}
	return out
}

func TestRun(t *testing.T) {
	out := try(t, `pwd; cat file answer; echo " $X"; echo changed > file; exit 3`, DefaultLimits(), "X=y")
	if want := "/tmp/work\noriginal42 y\n"; out.ExitCode != 3 || string(out.Output) != want {
		t.Errorf("got exit code %d and %q, want 3 and %q", out.ExitCode, out.Output, want)
	}
}

// TestHostile has programs try what they must not do. Each prints what it could
// do.
func TestHostile(t *testing.T) {
	outside := t.TempDir() // hidden with the rest of the host's /tmp
	home, err := os.MkdirTemp(".", "outside")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	writable, err := filepath.Abs(home)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket := filepath.Join(writable, "s")
	if l, err := net.Listen("unix", socket); err == nil {
		defer l.Close()
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for name, script := range map[string]string{
		"write outside":             `echo x > ` + writable + `/x && echo WROTE`,
		"write to the host's /tmp":  `echo x > ` + outside + `/x && echo WROTE`,
		"write to the system":       `for f in /etc/x /usr/x /root/x /home/x /var/x /x; do (echo x > $f) && echo WROTE $f; done`,
		"remount":                   `mount -o remount,rw / && echo REMOUNTED; mount -t tmpfs none ` + writable + ` && echo MOUNTED`,
		"remount in new namespaces": `unshare -Urm sh -c 'mount -o remount,rw,bind / && echo REMOUNTED; echo x > ` + writable + `/x && echo WROTE'`,
		"kernel settings":           `echo x > /proc/sys/kernel/core_pattern && echo WROTE; echo 1 > /proc/sysrq-trigger && echo WROTE`,
		"devices":                   `ls /dev | grep -E 'da|mem|nvme|loop' && echo SEEN`,
		"network":                   `python3 -c "import socket; socket.create_connection(('127.0.0.1', ` + port + `), 2); print('CONNECTED')"`,
		"other processes":           `kill -9 1 && echo KILLED; ls -d /proc/[0-9]* | wc -l | grep -E '^[0-9]{3,}$' && echo SEEN`,
		"our memory":                `dd if=/proc/1/mem of=/dev/null count=1 && echo READ`,
	} {
		t.Run(name, func(t *testing.T) {
			l := DefaultLimits()
			l.Wall = 20 * time.Second
			out := try(t, script+"; true", l)
			if out.TimedOut || out.ExitCode != 0 {
				t.Errorf("exit code %d, timed out %t: %s", out.ExitCode, out.TimedOut, out.Output)
			}
			for line := range strings.Lines(string(out.Output)) {
				for _, done := range []string{"WROTE", "MOUNTED", "SEEN", "CONNECTED", "READ"} {
					if strings.HasPrefix(line, done) {
						t.Errorf("it could: %s", line)
					}
				}
			}
		})
	}
	if left, err := os.ReadDir(writable); err != nil || len(left) > 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLoopback(t *testing.T) {
	out := try(t, `python3 -c "
import socket
s = socket.create_server(('127.0.0.1', 0))
c = socket.create_connection(s.getsockname(), 2)
print('ok')"`, DefaultLimits())
	if strings.TrimSpace(string(out.Output)) != "ok" {
		t.Errorf("a server inside of the sandbox could not be reached: %s", out.Output)
	}
}

func TestLimits(t *testing.T) {
	l := DefaultLimits()
	l.Wall, l.Memory, l.Threads, l.Output = 15*time.Second, 256<<20, 40, 1000
	t.Run("time", func(t *testing.T) {
		short := l
		short.Wall = 300 * time.Millisecond
		marker := filepath.Join(t.TempDir(), "x")
		// A child that leaves its parent's session and group.
		out := try(t, `setsid sh -c 'sleep 77.125' & exec sleep 77.125 `+marker[:0], short)
		if !out.TimedOut || out.ExitCode != -1 {
			t.Errorf("got %+v, want it timed out", out)
		}
		for range 50 {
			if found, _ := exec.Command("pgrep", "-f", "sleep 77.125").Output(); len(found) == 0 {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error("a process outlived its sandbox")
	})
	t.Run("memory", func(t *testing.T) {
		out := try(t, `python3 -c "
x = []
while True: x.append(bytearray(1 << 22))"`, l)
		if out.ExitCode == 0 || out.TimedOut {
			t.Errorf("got %+v, want it killed for its memory", out)
		}
	})
	t.Run("files", func(t *testing.T) {
		out := try(t, `dd if=/dev/zero of=/tmp/big bs=1M count=1000 && echo WROTE`, l)
		if bytes.Contains(out.Output, []byte("WROTE")) {
			t.Error("a file of a gigabyte was written under a limit of 256 MiB")
		}
	})
	t.Run("processes", func(t *testing.T) {
		out := try(t, `for i in $(seq 200); do sleep 5 & done; jobs | wc -l`, l)
		if out.ExitCode == 0 && strings.TrimSpace(string(out.Output)) == "200" {
			t.Errorf("200 processes ran under a limit of 40: %s", out.Output)
		}
	})
	t.Run("output", func(t *testing.T) {
		out := try(t, `yes | head -c 100000`, l)
		if len(out.Output) != 1000 || !out.Truncated {
			t.Errorf("%d bytes kept, truncated %t; want 1000 and true", len(out.Output), out.Truncated)
		}
	})
}

func TestRunRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	l := DefaultLimits()
	for name, run := range map[string]func() error{
		"nothing to run": func() error { _, err := Run(ctx, Program{Dir: dir}, l); return err },
		"no folder":      func() error { _, err := Run(ctx, Program{Dir: dir + "/x", Argv: []string{"true"}}, l); return err },
		"no time":        func() error { _, err := Run(ctx, Program{Dir: dir, Argv: []string{"true"}}, Limits{}); return err },
		"link that leads out": func() error {
			d := t.TempDir()
			if err := os.Symlink("/etc", filepath.Join(d, "etc")); err != nil {
				t.Fatal(err)
			}
			_, err := Run(ctx, Program{Dir: d, Argv: []string{"true"}, Replace: map[string][]byte{"etc/x": nil}}, l)
			return err
		},
	} {
		if err := run(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Run(ctx, Program{Dir: dir, Argv: []string{"sleep", "9"}}, l); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("cancelled: got %v", err)
	}
}

// TestVisible shows one folder of a closed one, and nothing else of it.
func TestVisible(t *testing.T) {
	closed, err := os.MkdirTemp(".", "closed") // not below /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(closed) })
	closed, err = filepath.Abs(closed)
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{closed, t.TempDir()} {
		for name, content := range map[string]string{"a/seen": "content", "hidden": "secret"} {
			path := filepath.Join(base, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(base, 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := Run(context.Background(), Program{Dir: t.TempDir(), Visible: []string{base + "/a"},
			Argv: []string{"sh", "-c", "cd " + base + "/a && cat seen; ls ..; (echo x > new) && echo WROTE"}}, DefaultLimits())
		if errors.Is(err, ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		got := string(out.Output)
		if !strings.HasPrefix(got, "contenta\n") || strings.Contains(got, "WROTE") || strings.Contains(got, "hidden") {
			t.Errorf("%s: got %q, want the content of one file, the name of one folder, and nothing written", base, got)
		}
	}
}
