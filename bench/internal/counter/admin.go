package counter

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/pprof"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/stay-go/stay/bench/internal/cpu"
)

// A Mem is the answer to GET /mem: what the process has used since it began,
// and the heap as it is. With ?gc garbage is collected first.
type Mem struct {
	Mallocs    int64 `json:"mallocs"`
	AllocBytes int64 `json:"alloc_bytes"`
	Heap       int64 `json:"heap"`
	CPUMicros  int64 `json:"cpu_us"`
}

// stored is the answer to GET /store: -1 and "n/a" stand for what the server
// cannot tell.
type stored struct {
	Rows         int    `json:"rows"`
	Bytes        int64  `json:"bytes"`
	TokenInClear string `json:"token_in_clear"`
	Error        string `json:"error,omitempty"`
}

func adminHandler(app App) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mem", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("gc") {
			runtime.GC()
		}
		answer(w, mem())
	})
	mux.HandleFunc("GET /store", func(w http.ResponseWriter, r *http.Request) {
		answer(w, app.stored(r))
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked has gone
}

func mem() Mem {
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return Mem{
		Mallocs: int64(ms.Mallocs), AllocBytes: int64(ms.TotalAlloc), Heap: int64(ms.HeapAlloc),
		CPUMicros: cpu.Used().Microseconds(),
	}
}

func (app App) stored(r *http.Request) stored {
	out := stored{Rows: -1, Bytes: -1, TokenInClear: "n/a"}
	if app.Dir != "" {
		out.Bytes = size(app.Dir)
	}
	if app.Keys == nil {
		return out
	}
	keys, err := app.Keys(r.Context())
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Rows = len(keys)
	if token := r.URL.Query().Get("token"); token != "" {
		out.TokenInClear = strconv.FormatBool(inClear(token, keys))
	}
	return out
}

// size returns how many bytes the files of a folder have.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // a file that has gone meanwhile has no size
	})
	return n
}

// inClear reports whether who reads the keys of the store could make the
// token of a session from one of them, but for a signature: whether the token
// holds the last part of a key, as it is or encoded.
func inClear(token string, keys []string) bool {
	raw, _ := base64.RawURLEncoding.DecodeString(token) // empty if it is not base64
	for _, key := range keys {
		part := key[strings.LastIndexByte(key, '/')+1:]
		if len(part) < 8 {
			continue // too short to be a secret
		}
		forms := []string{part}
		if b, err := hex.DecodeString(part); err == nil {
			forms = append(forms, string(b))
		}
		if b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(part)); err == nil {
			forms = append(forms, string(b))
		}
		for _, form := range forms {
			if strings.Contains(token, form) || strings.Contains(string(raw), form) {
				return true
			}
		}
	}
	return false
}
