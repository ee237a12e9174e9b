package mine

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/gitrepo"
	"github.com/code2lora/code2lora/internal/repopeft"
	"github.com/code2lora/code2lora/internal/store"
	"github.com/code2lora/code2lora/internal/testutil"
)

var (
	staticTrack    = []repopeft.Track{repopeft.Static}
	evolutionTrack = []repopeft.Track{repopeft.Evolution}
	bothTracks     = []repopeft.Track{repopeft.Static, repopeft.Evolution}
	allKinds       = []repopeft.Kind{repopeft.Assertion, repopeft.Call, repopeft.Line}
)

// Names of each split.
const (
	trainName      = "acme/a"
	validationName = "acme/b"
	testName       = "acme/d"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]dataset.Split{trainName: dataset.Train, validationName: dataset.Validation, testName: dataset.Test} {
		if got := dataset.SplitOf(name); got != want {
			t.Fatalf("split of %s: got %s, want %s", name, got, want)
		}
	}
}

// shop is a small library with tests, in which number tells one apart from the
// next.
func shop(number int) map[string]string {
	word := fmt.Sprintf("item%d", number)
	return map[string]string{
		"LICENSE": mitText,
		"shop/prices.py": "def total_price(goods):\n    return sum(g.price for g in goods)\n\n\nclass Basket:\n" +
			"    def add_goods(self, goods):\n        self.goods.append(goods)\n",
		"shop/orders.py": "from shop.prices import total_price, Basket\n\n\ndef place_order_" + word + "(goods):\n    basket = Basket(goods)\n" +
			"    amount = total_price(goods)\n    print(amount)\n    return len(goods), amount\n",
		"tests/test_orders.py": "from shop.orders import place_order_" + word + "\nfrom shop.prices import total_price\n\n\n" +
			"def test_" + word + "_order():\n    goods = make_" + word + "()\n    assert place_order_" + word + "(goods) == (3, '" + word + "')\n" +
			"    assert total_price(goods) == " + fmt.Sprint(17*number+5) + "\n    assert goods\n",
	}
}

const mitText = `MIT License

Copyright (c) 2020 A

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

func TestStatic(t *testing.T) {
	dir := newRepo(t, change{files: shop(1)})
	commit := runGit(t, dir, "", "rev-parse", "main")
	m, tasks, commits := run(t, options(t, Strict, staticTrack, allKinds...), Source{Name: testName, Spec: dir})
	var got []string
	for _, task := range tasks {
		if task.Commit != commit || task.Parent != commit || task.Split != dataset.Test || task.Track != repopeft.Static {
			t.Errorf("task %s: commit %s, parent %s, split %s, track %s", show(task), task.Commit, task.Parent, task.Split, task.Track)
		}
		if text := shop(1)[task.File]; text != task.Prefix+task.Target+task.Suffix || task.Prefix != text[:task.Start] || task.Target != text[task.Start:task.End] {
			t.Errorf("task %s: prefix, target and suffix aren't the file", show(task))
		}
		got = append(got, fmt.Sprintf("%s %s:%d %s %s|%s|%s", task.Kind, task.File, task.Line, task.Function, task.Difficulty, testutil.LastLine(task.Prefix), task.Target))
	}
	testutil.CompareLines(t, "tasks", got, []string{
		"line shop/orders.py:5 place_order_item1 func_call|    |basket = Basket(goods)",
		"call shop/orders.py:5 place_order_item1 func_call|    basket = |Basket(goods)",
		"line shop/orders.py:6 place_order_item1 func_call|    |amount = total_price(goods)",
		"call shop/orders.py:6 place_order_item1 func_call|    amount = |total_price(goods)",
		"line shop/orders.py:7 place_order_item1 func_call|    |print(amount)",
		"line shop/orders.py:8 place_order_item1 func_call|    |return len(goods), amount",
		"line shop/prices.py:2 total_price func_call|    |return sum(g.price for g in goods)",
		"line shop/prices.py:7 add_goods func_call|        |self.goods.append(goods)",
		"line tests/test_orders.py:6 test_item1_order func_call|    |goods = make_item1()",
		"line tests/test_orders.py:7 test_item1_order func_call|    |assert place_order_item1(goods) == (3, 'item1')",
		"call tests/test_orders.py:7 test_item1_order func_call|    assert |place_order_item1(goods)",
		"assertion tests/test_orders.py:7 test_item1_order collection|    assert place_order_item1(goods) == |(3, 'item1')",
		"line tests/test_orders.py:8 test_item1_order func_call|    |assert total_price(goods) == 22",
		"call tests/test_orders.py:8 test_item1_order func_call|    assert |total_price(goods)",
		"assertion tests/test_orders.py:8 test_item1_order numeric_literal|    assert total_price(goods) == |22",
		"line tests/test_orders.py:9 test_item1_order complex_expr|    |assert goods",
	})
	if len(commits) != 0 {
		t.Errorf("static track: got %d commits, want none", len(commits))
	}
	r := m.Repository(testName)
	if r.Licence != "MIT" || r.Commit != commit || r.FirstCommit != "2023-11-14T22:13:20Z" {
		t.Errorf("repository: got licence %q, commit %s, first commit %s", r.Licence, r.Commit, r.FirstCommit)
	}
	if got, want := asJSON(t, dropped(m, repopeft.Static)), `{"callee has a common name":4,"callee isn't defined in another file of production code":1,"no comparison":1}`; got != want {
		t.Errorf("dropped: got %s, want %s", got, want)
	}
}

// TestSides tells that all tasks of a function are on one side, in every
// repository, and that all sides are there.
func TestSides(t *testing.T) {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "def test_%d():\n    assert f(%d) == %d\n    assert g(%d) == 'a%d'\n\n", i, i, 1000+i, i, i)
	}
	dir := newRepo(t, change{files: map[string]string{"test_a.py": b.String()}})
	o := options(t, Strict, staticTrack)
	o.PerFile, o.Near = 0, 0
	_, tasks, _ := run(t, o, Source{Name: trainName, Spec: dir})
	of, n := map[string]dataset.Split{}, map[dataset.Split]int{}
	for _, task := range tasks {
		if at, ok := of[task.Function]; ok && at != task.InRepo {
			t.Errorf("%s: on the sides %s and %s", task.Function, at, task.InRepo)
		}
		of[task.Function] = task.InRepo
		n[task.InRepo]++
	}
	if len(tasks) != 120 || n[dataset.Train] < 80 || n[dataset.Validation] == 0 || n[dataset.Test] == 0 {
		t.Errorf("sides: got %v of %d tasks", n, len(tasks))
	}
}

// TestSame tells that the bytes depend neither on the number of jobs nor on
// whether shards were there, nor on the order of the sources.
func TestSame(t *testing.T) {
	var sources []Source
	for i, name := range []string{trainName, validationName, testName, "acme/c", "acme/e"} {
		dir := newRepo(t, change{files: shop(10 * i)}, change{files: shop(10*i + 1)}, change{files: shop(10*i + 2)})
		sources = append(sources, Source{Name: name, Spec: dir})
	}
	for _, profile := range []Profile{Strict, Paper} {
		kinds := allKinds
		if profile == Paper {
			kinds = allKinds[:1]
		}
		o := options(t, profile, bothTracks, kinds...)
		run(t, o, sources...)
		want := digests(t, o.Dir)
		if !strings.Contains(want, `"evolution"`) || !strings.Contains(want, `"static"`) {
			t.Fatalf("%s: a track is missing in %s", profile, want)
		}
		run(t, o, sources...)
		if got := digests(t, o.Dir); got != want {
			t.Errorf("%s, from shards: got\n%s\nwant\n%s", profile, got, want)
		}
		o.Dir, o.Jobs = t.TempDir(), 4
		slices.Reverse(sources)
		run(t, o, sources...)
		if got := digests(t, o.Dir); got != want {
			t.Errorf("%s, with 4 jobs: got\n%s\nwant\n%s", profile, got, want)
		}
	}
}

// TestFailures tells that a repository that fails does so alone.
func TestFailures(t *testing.T) {
	good := newRepo(t, change{files: shop(1)})
	empty := newRepo(t)
	plain := t.TempDir()
	o := options(t, Strict, staticTrack)
	var failed []string
	m, err := Run(t.Context(), []Source{{Name: testName, Spec: good}, {Name: "acme/e", Spec: empty}, {Name: "acme/g", Spec: plain},
		{Name: "acme/h", Spec: filepath.Join(plain, "nowhere")}, {Name: "acme/c", Spec: good, Commit: strings.Repeat("1", 40)}}, o, func(p Progress) {
		if p.Err != nil {
			failed = append(failed, p.Name)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Repositories) != 1 || len(m.Excluded) != 4 || len(failed) != 4 {
		t.Errorf("got %d repositories, %v excluded, %v failed; want 1, 4, 4", len(m.Repositories), m.Excluded, failed)
	}
	for i, want := range []string{"cannot resolve ref", "no commits", "not a git repository", "no such file"} {
		if e := m.Excluded[i]; !strings.HasPrefix(e.Reason, "failed: ") || !strings.Contains(e.Reason, want) {
			t.Errorf("%s: got reason %q, want %q", e.Name, e.Reason, want)
		}
	}
	if _, err := Run(t.Context(), []Source{{Name: "acme/e", Spec: empty}}, o, nil); !errors.Is(err, ErrNothing) || !errors.Is(err, gitrepo.ErrEmpty) {
		t.Errorf("all failed: got %v, want ErrNothing and the reason", err)
	}
	if _, err := Run(t.Context(), []Source{{Name: "acme/e", Spec: good}, {Name: "Acme/E", Spec: good}}, o, nil); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("given twice: got %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(ctx, []Source{{Name: testName, Spec: good}}, o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestCopies(t *testing.T) {
	upstream := newRepo(t, change{files: shop(1)}, change{files: shop(2)})
	fork := newRepo(t)
	if err := os.RemoveAll(fork); err != nil {
		t.Fatal(err)
	}
	runGit(t, "", "", "clone", "--quiet", "--bare", upstream, fork)
	addCommits(t, fork, 2, change{files: shop(3)})
	many := map[string]string{}
	for i := range 12 {
		many[fmt.Sprintf("pkg/m%d.py", i)] = fmt.Sprintf("def function_%d(argument):\n    return argument + %d\n", i, i) + strings.Repeat("# filling\n", 20)
	}
	origin := newRepo(t, change{files: many})
	many["pkg/own.py"] = "def own(): pass\n" + strings.Repeat("# filling\n", 20)
	copied := newRepo(t, change{files: many}, change{files: many})
	m, _, _ := run(t, options(t, Strict, staticTrack), Source{Name: trainName, Spec: upstream}, Source{Name: testName, Spec: fork},
		Source{Name: validationName, Spec: origin}, Source{Name: "acme/c", Spec: copied})
	got := asJSON(t, m.Excluded)
	want := `[{"name":"acme/a","reason":"fork: has its first commit in common with acme/d"},{"name":"acme/c","reason":"copy: has 12 of 12 files in common with acme/b"}]`
	if got != want {
		t.Errorf("excluded: got %s, want %s", got, want)
	}
}

// TestNear tells that a task which nearly equals one of a test repository is
// dropped from the others, and that a file which several have is the test
// repository's.
func TestNear(t *testing.T) {
	test, near := shop(1), shop(2)
	near["tests/test_orders.py"] = strings.ReplaceAll(test["tests/test_orders.py"], "== 22", "== 23")
	exact := shop(3)
	exact["tests/test_orders.py"] = test["tests/test_orders.py"]
	m, tasks, _ := run(t, options(t, Strict, staticTrack), Source{Name: testName, Spec: newRepo(t, change{files: test})},
		Source{Name: trainName, Spec: newRepo(t, change{day: 1, files: near})}, Source{Name: validationName, Spec: newRepo(t, change{day: 2, files: exact})})
	for _, task := range tasks {
		if task.Repository != testName {
			t.Errorf("%s: %s is kept", task.Repository, show(task))
		}
	}
	if got, want := asJSON(t, dropped(m, repopeft.Static)), `{"file of another repository":2,"nearly equal to a task of another split":2,"no comparison":3}`; got != want {
		t.Errorf("dropped: got %s, want %s", got, want)
	}
	if len(tasks) != 2 {
		t.Errorf("got %d tasks, want the 2 of the test repository", len(tasks))
	}
}

// TestEditedShard: a shard that somebody has edited is an error that says which it
// is, and what to do.
func TestEditedShard(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"blob": func(s string) string {
			return regexp.MustCompile(`"blob":"[0-9a-f]+"`).ReplaceAllString(s, `"blob":"nonsense"`)
		},
		"empty": func(s string) string {
			return regexp.MustCompile(`"blob":"[0-9a-f]+"`).ReplaceAllString(s, `"blob":""`)
		},
		"place": func(s string) string { return regexp.MustCompile(`"end":[0-9]+`).ReplaceAllString(s, `"end":99999`) },
	} {
		o := options(t, Strict, staticTrack)
		source := Source{Name: trainName, Spec: newRepo(t, change{files: shop(1)})}
		run(t, o, source)
		shards, err := filepath.Glob(filepath.Join(o.Dir, "work", "*.jsonl.gz"))
		if err != nil || len(shards) != 1 {
			t.Fatalf("shards are %q, error %v: want one", shards, err)
		}
		rewriteShard(t, shards[0], edit)
		_, err = Run(t.Context(), []Source{source}, o, nil)
		if err == nil || !strings.Contains(err.Error(), shards[0]) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: got %v, want an error that names %s and says to remove it", name, err, shards[0])
		}
	}
}

// rewriteShard changes the records of a shard, and the state's number of bytes.
func rewriteShard(t *testing.T, path string, edit func(string) string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	old, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	edited := edit(string(old))
	if edited == string(old) {
		t.Fatal("the edit changes nothing")
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, edited); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(statePath(path))
	if err != nil {
		t.Fatal(err)
	}
	state = regexp.MustCompile(`"bytes":[0-9]+`).ReplaceAll(state, fmt.Appendf(nil, `"bytes":%d`, b.Len()))
	for name, data := range map[string][]byte{path: b.Bytes(), statePath(path): state} {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNearTracks: what the test part of one track has isn't in the training part
// of the other.
func TestNearTracks(t *testing.T) {
	history := func(n int) (all []change) {
		for i := range n {
			files := shop(1)
			for j := range i + 1 {
				files[fmt.Sprintf("tests/test_%d.py", j)] = longTest(j)
			}
			all = append(all, change{day: i + 1, files: files})
		}
		return all
	}
	o := options(t, Strict, bothTracks)
	source := Source{Name: trainName, Spec: newRepo(t, history(12)...)}
	m, tasks, _ := run(t, o, source)
	parts := map[string]map[dataset.Split]bool{} // of a target
	for _, task := range tasks {
		if strings.Contains(task.Target, "unlike") {
			if parts[task.Target] == nil {
				parts[task.Target] = map[dataset.Split]bool{}
			}
			parts[task.Target][task.InRepo] = true
		}
	}
	if len(parts) != 12 {
		t.Errorf("%d targets are asked for, want 12", len(parts))
	}
	for target, sides := range parts {
		if sides[dataset.Train] && (sides[dataset.Test] || sides[dataset.Validation]) {
			t.Errorf("%s is in the training part of a track, and in another part of the other: %v", target, sides)
		}
	}
	if m.Near == nil || m.Near.Compared < 12 || m.Near.NotCompared != 0 {
		t.Errorf("near is %+v, want all tasks compared", m.Near)
	}
	other := options(t, Strict, bothTracks)
	other.Jobs = 4
	run(t, other, source)
	var manifests [2][]byte
	for i, dir := range []string{o.Dir, other.Dir} {
		var err error
		if manifests[i], err = os.ReadFile(filepath.Join(dir, "manifest.json")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(manifests[0], manifests[1]) {
		t.Errorf("with 4 jobs the manifest differs:\n%s\n%s", manifests[0], manifests[1])
	}
}

// longTest is a file with one test, unlike that of another number.
func longTest(n int) string {
	s := fmt.Sprintf("def test_number_%d(shop):\n", n)
	for i := range 12 {
		s += fmt.Sprintf("    v%d_%d = shop.step%d(%d)\n", n, i, n*31+i*7, n*i)
	}
	return s + fmt.Sprintf("    assert shop.total(v%d_3) == \"unlike %d\"\n", n, n)
}

func TestDates(t *testing.T) {
	old := newRepo(t, change{day: 1, files: shop(1)}, change{day: 2, files: shop(2)}, change{day: 3, files: shop(3)}, change{day: 4, files: shop(4)})
	young := newRepo(t, change{day: 10, files: shop(5)}, change{day: 11, files: shop(6)})
	o := options(t, Strict, []repopeft.Track{repopeft.Evolution, repopeft.OOD})
	o.Near = 0
	o.Since = time.Unix(1700000000+86400*2, 0).UTC()
	o.Cutoff = time.Unix(1700000000+86400*4, 0).UTC()
	m, tasks, commits := run(t, o, Source{Name: testName, Spec: old}, Source{Name: trainName, Spec: young})
	var got []string
	for _, c := range commits {
		got = append(got, fmt.Sprint(c.Repository, " ", c.Track, " ", c.Index, " ", c.Time[:10], " ", c.InRepo))
	}
	testutil.CompareLines(t, "commits", got, []string{"acme/a ood 0 2023-11-24 train", "acme/a ood 1 2023-11-25 train",
		"acme/d evolution 0 2023-11-16 train", "acme/d evolution 1 2023-11-17 train"})
	if len(tasks) != 8 || dropped(m, repopeft.Evolution)[string(reasonDate)] != 4 {
		t.Errorf("got %d tasks, dropped %v; want 8 and 4 by date", len(tasks), dropped(m, repopeft.Evolution))
	}
	if m.CutOff != "2023-11-18" {
		t.Errorf("cut-off date: got %q", m.CutOff)
	}
}

// TestOOD tells which repositories are of that track.
func TestOOD(t *testing.T) {
	files := map[string]string{"main.py": "x = 1\n", "a.ts": "export const a = 1;\n", "b.ts": "export const b = 2;\n",
		"b.test.ts": "test('b', () => {\n  expect(later(1)).toBe(2);\n});\n"}
	foreign := newRepo(t, change{day: 1, files: files})
	old := newRepo(t, change{day: 2, files: shop(1)})
	o := options(t, Strict, []repopeft.Track{repopeft.OOD})
	o.Languages = []string{"python", "typescript"}
	m, tasks, _ := run(t, o, Source{Name: trainName, Spec: foreign}, Source{Name: testName, Spec: old})
	if got, want := asJSON(t, m.Excluded), `[{"name":"acme/d","reason":"its history is of the track \"evolution\", which was not asked for"}]`; got != want {
		t.Errorf("excluded: got %s, want %s", got, want)
	}
	if len(tasks) != 1 || tasks[0].Track != repopeft.OOD || tasks[0].Language != "typescript" || tasks[0].Target != "2" {
		t.Errorf("tasks: got %v", showAll(tasks))
	}
}

func TestLocked(t *testing.T) {
	o := options(t, Strict, staticTrack)
	unlock, ok, err := store.TryLock(filepath.Join(o.Dir, "work", "lock"))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer unlock()
	if _, err := Run(t.Context(), []Source{{Name: testName, Spec: newRepo(t, change{files: shop(1)})}}, o, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("locked: got %v", err)
	}
}

func TestChronological(t *testing.T) {
	for n, want := range map[int]string{1: "t", 2: "tt", 3: "tvs", 4: "ttvs", 5: "tttvs", 10: "ttttttttvs", 11: "ttttttttvss", 20: strings.Repeat("t", 16) + "vvss"} {
		got := ""
		for i := range n {
			got += map[dataset.Split]string{dataset.Train: "t", dataset.Validation: "v", dataset.Test: "s"}[chronological(i, n)]
		}
		if got != want {
			t.Errorf("%d commits: got %s, want %s", n, got, want)
		}
	}
}
