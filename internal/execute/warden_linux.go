package execute

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// warden builds the sandbox that it is process 1 of, and runs the prisoner.
func warden() int {
	notices := os.NewFile(4, "notices")
	n := &notice{ExitCode: -1}
	if err := guard(n); err != nil {
		n.Error = err.Error()
	}
	json.NewEncoder(notices).Encode(n)
	return 0
}

func guard(n *notice) error {
	orders := os.NewFile(3, "orders")
	var o order
	if err := json.NewDecoder(orders).Decode(&o); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	orders.Close()
	syscall.CloseOnExec(4)
	tree, err := os.OpenRoot(".") // Dir, which a mount may hide soon
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := confine(o.Limits.Memory, o.Program.Visible); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	if err := furnish(tree, &o); err != nil {
		return err
	}
	return guardProgram(&o, n)
}

// confine makes everything read-only but a scratch folder in memory, and hides
// devices, other processes, and the sockets of services.
func confine(memory int64, visible []string) error {
	folders := make([]int, len(visible))
	for i, path := range visible {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		defer unix.Close(fd)
		folders[i] = fd
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("read-only file system (needs Linux 5.12): %w", err)
	}
	size := fmt.Sprintf("mode=1777,size=%d", memory/2)
	if err := unix.Mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, size); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	for i, path := range visible {
		if err := reveal(path, folders[i]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := devices(size); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	for _, dir := range []string{"/run", "/var/run", "/var/tmp"} {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			continue
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=1m"); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	return nil
}

// reveal makes an open folder appear at its path again. The first folder around
// it that others may not enter is replaced by an empty one.
func reveal(path string, fd int) error {
	for i, c := range path {
		if c != '/' || i == 0 {
			continue
		}
		info, err := os.Stat(path[:i])
		if err != nil || info.Mode().Perm()&0o001 != 0 {
			continue
		}
		if err := unix.Mount("tmpfs", path[:i], "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
			return err
		}
		break
	}
	var here, there unix.Stat_t
	if err := unix.Fstat(fd, &there); err != nil {
		return err
	}
	if unix.Stat(path, &here) == nil && here.Dev == there.Dev && here.Ino == there.Ino {
		return nil // it can be seen
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), path, "", unix.MS_BIND, "")
}

// devices replaces /dev by the few that programs need.
func devices(size string) error {
	dev := scratch + "/dev"
	if err := os.Mkdir(dev, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		path := filepath.Join(dev, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dev, "shm"), 0o1777); err != nil {
		return err
	}
	if err := unix.Mount(dev, "/dev", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := os.Remove(dev); err != nil {
		return err
	}
	return unix.Mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, size)
}

// loopback brings up the only interface of the network namespace, since tests
// talk to servers that they start.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// furnish copies the working folder, with files replaced, and gives it to the
// prisoner.
func furnish(tree *os.Root, o *order) error {
	for _, dir := range []string{workDir, homeDir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := copyTree(tree, workDir); err != nil {
		return fmt.Errorf("copy of the working folder: %w", err)
	}
	work, err := os.OpenRoot(workDir)
	if err != nil {
		return err
	}
	defer work.Close()
	for name, content := range o.Program.Replace {
		// A link that leads out of the folder is refused by Root.
		if err := work.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	if o.UID == 0 {
		return nil
	}
	for _, dir := range []string{workDir, homeDir} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, o.UID, o.UID)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies folders, regular files and links.
func copyTree(tree *os.Root, to string) error {
	return fs.WalkDir(tree.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		target := filepath.Join(to, path)
		switch {
		case d.IsDir():
			return os.Mkdir(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := tree.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		in, err := tree.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// guardProgram runs the prisoner and watches its memory.
func guardProgram(o *order, n *notice) error {
	said, err := json.Marshal(o)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{prisonerName}
	cmd.Env = []string{}
	cmd.Dir = workDir
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{r}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: o.UID, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: o.UID, Size: 1}},
		Credential:  &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true},
		Setsid:      true,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("second user namespace: %w", err)
	}
	r.Close()
	// The prisoner waits for its orders. From now on it cannot attach to us
	// either, which as the same user it otherwise could.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	go func() {
		w.Write(said)
		w.Close()
	}()
	var over atomic.Bool
	stop := make(chan struct{})
	go watch(o.Limits.Memory, stop, func() { over.Store(true); unix.Kill(-1, unix.SIGKILL) }) // all but ourselves
	err = cmd.Wait()
	close(stop)
	n.OverLimit = over.Load()
	if exit := (*exec.ExitError)(nil); err == nil {
		n.ExitCode = 0
	} else if errors.As(err, &exit) {
		n.ExitCode = exit.ExitCode()
	}
	return nil
}

// watch calls kill when the processes of the sandbox and the files in memory
// take more than they may.
func watch(most int64, stop <-chan struct{}, kill func()) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if used() > most {
			kill()
		}
	}
}

// used adds up the resident anonymous memory of all processes but ourselves,
// and what is in the scratch folders.
func used() int64 {
	var sum int64
	processes, _ := filepath.Glob("/proc/[0-9]*/statm")
	for _, path := range processes {
		if path == "/proc/1/statm" {
			continue
		}
		data, err := os.ReadFile(path)
		fields := strings.Fields(string(data))
		if err != nil || len(fields) < 3 {
			continue // it has ended
		}
		resident, _ := strconv.ParseInt(fields[1], 10, 64)
		shared, _ := strconv.ParseInt(fields[2], 10, 64)
		sum += (resident - shared) * int64(os.Getpagesize())
	}
	for _, dir := range []string{scratch, "/dev/shm"} {
		var s unix.Statfs_t
		if unix.Statfs(dir, &s) == nil {
			sum += int64(s.Blocks-s.Bfree) * s.Bsize
		}
	}
	return sum
}

// prisoner becomes the program.
func prisoner() {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(126)
	}
	orders := os.NewFile(3, "orders")
	var o order
	if err := json.NewDecoder(orders).Decode(&o); err != nil {
		fail(err)
	}
	orders.Close()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fail(err)
	}
	err := errors.Join(
		limit(unix.RLIMIT_CORE, 0),
		limit(unix.RLIMIT_NPROC, uint64(o.Limits.Threads)),
		limit(unix.RLIMIT_FSIZE, uint64(o.Limits.Memory)),
		limit(unix.RLIMIT_CPU, uint64(o.Limits.Wall/time.Second)*4+1)) // several threads at once
	if err != nil {
		fail(err)
	}
	env := environment(o.Program.Env)
	path := o.Program.Argv[0]
	if !strings.Contains(path, "/") {
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			os.Setenv(name, value)
		}
		found, err := exec.LookPath(path)
		if err != nil {
			fail(err)
		}
		path = found
	}
	// The address space is limited last: this program needs more of it than most.
	if err := limit(unix.RLIMIT_AS, uint64(4*o.Limits.Memory)); err != nil {
		fail(err)
	}
	fail(syscall.Exec(path, o.Program.Argv, env))
}

func limit(resource int, value uint64) error {
	if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
		return fmt.Errorf("limit %d: %w", resource, err)
	}
	return nil
}
