package tokenizer

import "testing"

func TestControl(t *testing.T) {
	tok, err := New(realSpec(t, "qwen2"))
	if err != nil {
		t.Fatal(err)
	}
	word, _ := tok.ID("def")
	end, _ := tok.ID("<|endoftext|>")
	for _, tt := range []struct {
		id   int32
		want bool
	}{{end, true}, {word, false}, {-1, false}, {1 << 30, false}} {
		if got := tok.Control(tt.id); got != tt.want {
			t.Errorf("Control(%d): got %t, want %t", tt.id, got, tt.want)
		}
	}
}
