package memory

import (
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is how one version of control groups calls its files.
type hierarchy struct {
	limit, used string
	cache       []string // lines of memory.stat: memory that can be taken back
}

var (
	cgroup1 = hierarchy{"memory.limit_in_bytes", "memory.usage_in_bytes", []string{"total_active_file", "total_inactive_file"}}
	cgroup2 = hierarchy{"memory.max", "memory.current", []string{"active_file", "inactive_file", "slab_reclaimable"}}
)

// unlimited is where limits of version 1 begin to mean that there is none: it
// writes the largest multiple of a page.
const unlimited = math.MaxInt64 / 2

// controlGroups returns what the control groups of the process leave: the
// least over its own and all above it, as far as they can be seen. root is the
// root of the file system.
func controlGroups(root fs.FS) (least Amount, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return Amount{}, false
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return Amount{}, false
	}
	for _, m := range parseMounts(string(mounts)) {
		own, found := ownGroup(string(groups), m.version2)
		if !found {
			continue
		}
		h := cgroup1
		if m.version2 {
			h = cgroup2
		}
		for dir := m.dir(own); ; dir = path.Dir(dir) {
			if a, set := h.left(root, dir); set && (!ok || a.Bytes < least.Bytes) {
				least, ok = a, true
			}
			if dir == m.point || dir == "." {
				break
			}
		}
	}
	return least, ok
}

// left returns what the limit of one control group leaves.
func (h *hierarchy) left(root fs.FS, dir string) (Amount, bool) {
	limit, ok := readNumber(root, path.Join(dir, h.limit))
	if !ok || limit >= unlimited { // "max", no such file, or no right to read it
		return Amount{}, false
	}
	used, ok := readNumber(root, path.Join(dir, h.used))
	if !ok {
		return Amount{}, false
	}
	stat, _ := fs.ReadFile(root, path.Join(dir, "memory.stat"))
	for line := range strings.Lines(string(stat)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 && slices.Contains(h.cache, name) {
			used -= min(n, used)
		}
	}
	return Amount{limit - used, "the limit of the control group is " + FormatSize(limit)}, true
}

func readNumber(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n >= 0
}

// ownGroup returns the path of the process's control group, from the lines
// "id:controllers:path" of /proc/self/cgroup.
func ownGroup(lines string, version2 bool) (string, bool) {
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		if version2 && f[0] == "0" && f[1] == "" || !version2 && slices.Contains(strings.Split(f[1], ","), "memory") {
			return path.Clean("/" + f[2]), true
		}
	}
	return "", false
}

// mount is a place where control groups with the memory controller can be seen.
type mount struct {
	group    string // what of the hierarchy is mounted
	point    string // where, below the root, without the slash at the beginning
	version2 bool
}

// dir returns the folder of a control group. One that is outside of what is
// mounted, as in some containers, is taken for the mounted one, which is above
// or at it.
func (m *mount) dir(group string) string {
	rest, ok := strings.CutPrefix(group, strings.TrimSuffix(m.group, "/"))
	if !ok || rest != "" && rest[0] != '/' {
		return m.point
	}
	return path.Join(m.point, rest)
}

// parseMounts reads /proc/self/mountinfo; see proc_pid_mountinfo(5).
func parseMounts(lines string) (ms []mount) {
	for line := range strings.Lines(lines) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(g) < 3 {
			continue
		}
		version2 := g[0] == "cgroup2"
		if !version2 && (g[0] != "cgroup" || !slices.Contains(strings.Split(g[2], ","), "memory")) {
			continue
		}
		point := strings.TrimPrefix(path.Clean("/"+unescape(f[4])), "/")
		if !fs.ValidPath(point) {
			continue
		}
		ms = append(ms, mount{path.Clean("/" + unescape(f[3])), point, version2})
	}
	return ms
}

// unescape undoes the octal escapes of blanks and backslashes in mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
