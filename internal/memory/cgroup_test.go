package memory

import (
	"testing"
	"testing/fstest"
)

// tree makes a file system of files with their contents.
func tree(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// with adds files to a copy of a tree.
func with(base map[string]string, add map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{base, add} {
		for name, text := range m {
			out[name] = text
		}
	}
	return out
}

func TestControlGroups(t *testing.T) {
	v2 := map[string]string{
		"proc/self/cgroup": "0::/a.slice/b.service\n",
		"proc/self/mountinfo": "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n" +
			"30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
		"sys/fs/cgroup/a.slice/memory.max":               "max\n",
		"sys/fs/cgroup/a.slice/memory.current":           "700\n",
		"sys/fs/cgroup/a.slice/b.service/memory.max":     "1000\n",
		"sys/fs/cgroup/a.slice/b.service/memory.current": "600\n",
		"sys/fs/cgroup/a.slice/b.service/memory.stat":    "anon 100\ninactive_file 200\nactive_file 50\nslab_reclaimable 7\nshmem 30\n",
	}
	v1 := map[string]string{
		"proc/self/cgroup": "9:name=systemd:/x\n4:cpu,memory:/docker/abc\n1:cpu:/\n0::/\n",
		"proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
			"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
			"35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n",
		"sys/fs/cgroup/memory/memory.usage_in_bytes": "4500\n",
		"sys/fs/cgroup/memory/memory.stat":           "cache 9\ninactive_file 1\ntotal_inactive_file 300\ntotal_active_file 100\n",
	}
	const escaped = "30 22 0:26 / /sys/my\\040groups rw - cgroup2 none rw\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64 // -1: unknown
	}{
		{"version 2", v2, 1000 - (600 - 257)},
		{"version 2, parent", with(v2, map[string]string{"sys/fs/cgroup/a.slice/memory.max": "900"}), 200},
		{"version 2, root of a namespace", with(v2, map[string]string{"proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "64", "sys/fs/cgroup/memory.current": "60"}), 4},
		{"version 2, group outside of the namespace", with(v2, map[string]string{"proc/self/cgroup": "0::/../other\n",
			"sys/fs/cgroup/memory.max": "64", "sys/fs/cgroup/memory.current": "60"}), 4},
		{"version 2, over its limit", with(v2, map[string]string{"sys/fs/cgroup/a.slice/b.service/memory.current": "1500"}), 1000 - (1500 - 257)},
		{"version 2, more cache than use", with(v2, map[string]string{"sys/fs/cgroup/a.slice/b.service/memory.current": "20"}), 1000},
		{"version 2, no statistics", with(v2, map[string]string{"sys/fs/cgroup/a.slice/b.service/memory.stat": "\x00 inactive_file"}), 400},
		{"version 2, no limits", with(v2, map[string]string{"sys/fs/cgroup/a.slice/b.service/memory.max": "max"}), -1},
		{"version 2, nonsense", with(v2, map[string]string{"sys/fs/cgroup/a.slice/b.service/memory.max": "-5"}), -1},
		{"version 2, no use", with(v2, map[string]string{"sys/fs/cgroup/a.slice/b.service/memory.current": ""}), -1},
		{"version 2, blank in a path", with(v2, map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": escaped,
			"sys/my groups/memory.max": "8", "sys/my groups/memory.current": "5"}), 3},
		{"version 1 in a container", v1, 5000 - (4500 - 400)},
		{"version 1 from outside", with(v1, map[string]string{
			"proc/self/mountinfo":                                   "35 31 0:32 / /cg rw - cgroup cgroup rw,memory\n",
			"cg/docker/memory.limit_in_bytes":                       "3000",
			"cg/docker/memory.usage_in_bytes":                       "2900",
			"cg/docker/abc/memory.limit_in_bytes":                   "9223372036854771712",
			"cg/docker/abc/memory.usage_in_bytes":                   "2800",
			"cg/memory.limit_in_bytes":                              "9223372036854771712",
			"sys/fs/cgroup/memory/not/looked/at/memory.usage_bytes": "1",
		}), 100},
		{"version 1, no limit", with(v1, map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}), -1},
		{"no mounts", with(v2, map[string]string{"proc/self/mountinfo": "x\n - \n1 2 3 4 5 - cgroup2\n"}), -1},
		{"no groups", with(v2, map[string]string{"proc/self/cgroup": "nonsense\n::\n"}), -1},
		{"no /proc", nil, -1},
		{"no mountinfo", map[string]string{"proc/self/cgroup": "0::/\n"}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := controlGroups(tree(tt.files))
			if ok != (tt.want != -1) || ok && got.Bytes != tt.want {
				t.Errorf("got %+v, %t, want %d", got, ok, tt.want)
			}
		})
	}
}

// FuzzControlGroups checks that no contents of these files do harm.
func FuzzControlGroups(f *testing.F) {
	f.Add("0::/a\n", "30 22 0:26 / /cg rw - cgroup2 cgroup2 rw\n", "1000", "600", "inactive_file 200\n")
	f.Add("4:memory:/docker/abc\n", "35 31 0:32 /docker/abc /cg rw - cgroup cgroup rw,memory\n", "max", "", "")
	f.Add("0::/../..\n", "1 1 0:1 /../.. /.. rw - cgroup2 c rw\n", "1", "2", "active_file -9")
	f.Fuzz(func(t *testing.T, groups, mounts, limit, used, stat string) {
		files := map[string]string{"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
		for _, dir := range []string{"cg/", "cg/a/"} {
			for _, h := range []hierarchy{cgroup1, cgroup2} {
				files[dir+h.limit], files[dir+h.used], files[dir+"memory.stat"] = limit, used, stat
			}
		}
		if a, ok := controlGroups(tree(files)); ok && (a.Bytes > unlimited || a.Within == "") {
			t.Errorf("got %+v", a)
		}
	})
}
