package corpus

import (
	"slices"
	"strings"
	"testing"

	"github.com/code2lora/code2lora/internal/dataset"
	"github.com/code2lora/code2lora/internal/repopeft"
)

// marked makes the tasks of a file: «part:function:target», the part by its
// first letter.
func marked(file string, kind repopeft.Kind, source string) (tasks []*repopeft.Task) {
	parts := map[string]dataset.Split{"t": dataset.Train, "v": dataset.Validation, "x": dataset.Test}
	clean := ""
	for {
		before, rest, found := strings.Cut(source, "«")
		clean += before
		if !found {
			break
		}
		mark, after, _ := strings.Cut(rest, "»")
		fields := strings.SplitN(mark, ":", 3)
		t := task("acme/a", file, clean, fields[2], "", parts[fields[0]])
		t.Function, t.Kind = fields[1], kind
		tasks = append(tasks, t)
		clean, source = clean+fields[2], after
	}
	for _, t := range tasks {
		t.Suffix = clean[len(t.Prefix)+len(t.Target):]
	}
	return tasks
}

const divided = `import pkg

def test_one():
    assert one() == «t:test_one:11»

@pytest.mark.parametrize("n", [
    222,
])
def test_two():
    x = setup_of_two()
    assert two(x) == «x:test_two:222»
    assert two(x, 1) == «v:test_two:223»

class TestThree:
    def test_three(self):
        assert three() == «t:test_three:33»
        assert four() == «x:test_three:444»
        assert five() == «t:test_three:55»

    def test_six(self):
        assert six() == 444
        assert four() == 444 # again
        assert six(1) == «v:test_six:666»

def test_seven():
    assert seven() == «t:test_seven:77»
`

func TestWithheld(t *testing.T) {
	other := marked("t.py", repopeft.Line, strings.NewReplacer("«x:test_two:222»", "222", "«v:test_two:223»", "223", "«v:test_six:666»", "666",
		"«t:test_one:11»", "11", "«t:test_three:33»", "33", "«x:test_three:444»", "444", "«t:test_three:55»", "55", "assert seven()", "«t:test_seven:assert seven() == 7»#",
		"«t:test_seven:77»", "7").Replace(divided))
	c := New()
	if err := c.AddTasks(sequenceOf(slices.Concat(marked("t.py", repopeft.Assertion, divided), other)...), false); err != nil {
		t.Fatal(err)
	}
	// One that isn't in the corpus, such as a call.
	c.Withhold(marked("t.py", repopeft.Call, "def test_one():\n    first(1)\n    assert zero() == «x:test_one:zero_of_another_track»\n")[0])
	extra := marked("old_name.py", repopeft.Assertion, "def test_one():\n    assert zero() == zero_of_another_track\n    assert one() == «t:test_one:1»\n"+
		"def test_two():\n    assert two(x) == 2222\n    pass\n\ndef test_eight():\n    assert four() == 444 # elsewhere\n    assert eight() == «t:test_eight:8»\n")
	if err := c.AddTasks(sequenceOf(extra...), false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		part    dataset.Split
		targets []string
		gone    []string
		there   []string
	}{
		{dataset.Train, []string{"11", "33", "55", "77", "assert seven() == 7", "1", "8"}, []string{" 222\n", " 222,", "223", "setup_of_two", "parametrize", "444\n        assert five", "again", "666", "zero_of"},
			[]string{"import pkg", "three() == 33\n        assert five() == 55", "two(x) == 2222", "elsewhere", "def test_seven"}},
		{dataset.Validation, []string{"223", "666"}, []string{" 222\n", "four()"}, []string{"one() == 11", "six() == 444"}},
		{dataset.Test, []string{"222", "444"}, nil, []string{"one() == 11"}},
	} {
		var targets []string
		text := ""
		for _, d := range c.Documents("acme/a", tt.part) {
			if err := d.Validate(); err != nil {
				t.Fatal(err)
			}
			text += d.Text + "\n"
			for _, task := range d.Tasks {
				targets = append(targets, d.Text[task.Start:task.End])
			}
		}
		if !slices.Equal(targets, tt.targets) {
			t.Errorf("%s: targets %q, want %q", tt.part, targets, tt.targets)
		}
		for _, s := range tt.gone {
			if strings.Contains(text, s) {
				t.Errorf("%s: %q is in the text:\n%s", tt.part, s, text)
			}
		}
		for _, s := range tt.there {
			if !strings.Contains(text, s) {
				t.Errorf("%s: %q isn't in the text:\n%s", tt.part, s, text)
			}
		}
	}
	all := ""
	for _, d := range c.Documents("acme/a") {
		all += d.Text
	}
	if !strings.Contains(all, "== 222") || !strings.Contains(all, "== 666") {
		t.Errorf("all parts: tasks are missing in\n%s", all)
	}
}

func TestExtent(t *testing.T) {
	const goFile = "package p\n\n// about\nfunc TestA(t *testing.T) {\n\tif got := a(); got != 1 {\n\t\tt.Fatal()\n\t}\n}\n\nfunc TestB(t *testing.T) {\n\tb()\n}\n"
	at := strings.Index(goFile, "\tif got")
	got, ok := extent(goFile, at, "TestA")
	if want := goFile[strings.Index(goFile, "func TestA"):strings.Index(goFile, "\nfunc TestB")]; !ok || goFile[got.Start:got.End] != want {
		t.Errorf("got %q, want %q", goFile[got.Start:got.End], want)
	}
	for _, function := range []string{"", "Test", "TestB"} {
		if _, ok := extent(goFile, at, function); ok {
			t.Errorf("%q: a line of TestA is in it", function)
		}
	}
}
