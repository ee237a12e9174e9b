package state

import "testing"

func FuzzDecodeEntry(f *testing.F) {
	e := Entry{Key: key(1), Digest: digest(nil), Notes: map[string]float64{"n": 1}}
	file, err := e.encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{nil, file, file[:len(file)/2], []byte(`{"format":1}`), []byte("[]")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(data)
		if err != nil {
			return
		}
		file, err := e.encode()
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if again, err := decodeEntry(file); err != nil || !sameEntry(again, e) {
			t.Errorf("got %+v, %v, want %+v", again, err, e)
		}
	})
}
