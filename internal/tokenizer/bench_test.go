package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// code is this package's own source: about 60 kB.
func code(b *testing.B) string {
	b.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		b.Fatalf("no source files: %v", err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func BenchmarkEncode(b *testing.B) {
	var lines strings.Builder
	for _, l := range goldenLines(b) {
		lines.WriteString(l.Text)
	}
	for _, name := range []string{"smollm", "qwen2"} {
		tok := realTokenizer(b, name)
		for _, c := range []struct{ name, text string }{
			{"code", code(b)},
			{"golden", lines.String()}, // many scripts, few words twice
			{"spaces", strings.Repeat(" ", 100_000)},
			{"letters", strings.Repeat("abcdefgh", 12_500)},
		} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				b.SetBytes(int64(len(c.text)))
				b.ReportAllocs()
				var ids []int32
				for b.Loop() {
					ids = tok.AppendEncode(ids[:0], c.text)
				}
				b.ReportMetric(float64(len(c.text))/float64(len(ids)), "bytes/token")
			})
		}
		b.Run(name+"/cold", func(b *testing.B) {
			text := code(b)
			b.SetBytes(int64(len(text)))
			var ids []int32
			for b.Loop() {
				for i := range tok.cache {
					tok.cache[i].Store(nil)
				}
				ids = tok.AppendEncode(ids[:0], text)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for _, name := range []string{"smollm", "qwen2"} {
		spec := realSpec(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := New(spec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := realTokenizer(b, "qwen2")
	text := code(b)
	ids := tok.Encode(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Decode(ids)
	}
}
