package web_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Flag is the state of several modules whose actions stand side by side.
type Flag struct {
	On bool `json:"on"`
}

// flags serves the modules named, each with an action set, as JSON.
func (s *site) flags(names ...string) http.Handler {
	states := make([]stay.AnyState, len(names))
	for i, name := range names {
		states[i] = stay.Register(s.app, stay.Module[Flag]{Name: name, Persist: stay.Global, Actions: stay.Actions[Flag]{
			"set": func(_ *stay.Call, f *Flag) error {
				f.On = true
				return nil
			},
		}})
	}
	return web.Actions(states...)
}

// routed serves h at one route of a mux.
func routed(route string, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(route, h)
	return mux
}

// cutting is a middleware that cuts the first element off the path, as some
// routers do.
func cutting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := 1 + strings.IndexByte(r.URL.EscapedPath()[1:], '/')
		http.StripPrefix(r.URL.EscapedPath()[:i], next).ServeHTTP(w, r)
	})
}

// Under every mount, a module and an action are reached by one path, and by no
// other.
//
// Proves W7.
func TestActionsAreReachedByOnePathOnly(t *testing.T) {
	s := newSite(t)
	h := s.flags("open", "admin", "state")
	type paths []string
	for name, tc := range map[string]struct {
		h            http.Handler
		run, read    paths // what runs an action, and what shows a state
		refuse, deny paths // what is 404, by POST and by GET
	}{
		"nothing": {
			h,
			paths{"/admin/set"},
			paths{"/admin"},
			paths{"/x/admin/set", "/admin/x/set"},
			paths{"/", "/x/admin", "/admin/"},
		},
		"a subtree": {
			routed("/state/", h),
			paths{"/state/admin/set", "/state/state/set"},
			paths{"/state/admin", "/state/state"},
			paths{"/state/set", "/state/x/admin/set", "/state/open/admin/set", "/state/state/admin/set"},
			paths{"/state/", "/state/x/admin", "/state/state/admin", "/state/admin/"},
		},
		"a subtree of POST": {
			routed("POST /state/", h),
			paths{"/state/admin/set"},
			nil,
			paths{"/state/x/admin/set"},
			nil,
		},
		"a subtree of a host": {
			routed("app.test/state/", h),
			paths{"/state/admin/set"},
			paths{"/state/admin"},
			paths{"/state/x/admin/set"},
			paths{"/state/x/admin"},
		},
		"a wildcard for the rest": {
			routed("/api/state/{rest...}", h),
			paths{"/api/state/admin/set"},
			paths{"/api/state/admin"},
			paths{"/api/state/x/admin/set", "/api/state/state/set/"},
			paths{"/api/state/x/admin"},
		},
		"the root": {
			routed("/", h), paths{"/admin/set"}, paths{"/admin"}, paths{"/x/admin/set"}, paths{"/x/admin"},
		},
		"below a wildcard": {
			routed("/{team}/state/", h),
			paths{"/a/state/admin/set", "/a%2Fb/state/admin/set", "/state/state/admin/set"},
			paths{"/a/state/admin"},
			paths{"/a/state/x/admin/set", "/a/b/state/admin/set"},
			paths{"/a/state/x/admin"},
		},
		"right below a wildcard": {
			routed("/{team}/", h),
			paths{"/a/admin/set", "/state/admin/set"},
			paths{"/a/admin"},
			paths{"/admin/set", "/a/x/admin/set"},
			paths{"/a/x/admin"},
		},
		"a name that is encoded": {
			routed("/zustände/", h), paths{"/zust%C3%A4nde/admin/set"}, paths{"/zust%C3%A4nde/admin"}, paths{"/zust%C3%A4nde/x/admin/set"}, nil,
		},
		"the path of one action": {
			routed("POST /state/admin/set", h), paths{"/state/admin/set"}, nil, paths{"/state/x/admin/set"}, nil,
		},
		"the actions of one module": {
			routed("/state/admin/{action}", h), paths{"/state/admin/set"}, nil, nil, paths{"/state/admin/open"},
		},
		"module and action by wildcards": {
			routed("/api/{module}/{action}", h), paths{"/api/admin/set"}, nil, paths{"/api/x/set"}, paths{"/api/x/admin", "/api/open/admin"},
		},
		"the module by a wildcard": {
			routed("/api/{module}", h), nil, paths{"/api/admin"}, paths{"/admin/set"}, paths{"/api/x"},
		},
		"wildcards before the module": {
			routed("/api/{a}/{b}/{c}", h), nil, nil, paths{"/api/x/admin/set", "/api/admin/set/x"}, paths{"/api/x/y/admin"},
		},
		"StripPrefix": {
			http.StripPrefix("/state", h),
			paths{"/state/admin/set", "/state/state/set"},
			paths{"/state/admin"},
			paths{"/state/x/admin/set", "/state/state/admin/set"},
			paths{"/state/x/admin"},
		},
		"StripPrefix with a slash at its end": {
			http.StripPrefix("/state/", h), paths{"/state/admin/set"}, paths{"/state/admin"}, paths{"/state/x/admin/set"}, paths{"/state/x/admin"},
		},
		"StripPrefix inside": {
			routed("/state/", http.StripPrefix("/state", h)),
			paths{"/state/admin/set", "/state/state/set"},
			paths{"/state/admin", "/state/state"},
			paths{"/state/set", "/state/state/admin/set", "/state/x/admin/set"},
			paths{"/state/state/admin", "/state/x/admin"},
		},
		"StripPrefix inside of a part": {
			routed("/state/admin/", http.StripPrefix("/state", h)),
			paths{"/state/admin/set"},
			nil,
			paths{"/state/admin/admin/set", "/state/admin/state/admin/set"},
			paths{"/state/admin/admin", "/state/admin/state/admin"},
		},
		"StripPrefix outside": {
			http.StripPrefix("/api", routed("/state/", h)),
			paths{"/api/state/admin/set", "/api/state/state/set"},
			paths{"/api/state/admin"},
			paths{"/api/state/x/admin/set", "/api/state/set"},
			paths{"/api/state/x/admin"},
		},
		"StripPrefix between": {
			routed("/api/", http.StripPrefix("/api", routed("/state/", http.StripPrefix("/state", h)))),
			paths{"/api/state/admin/set"},
			paths{"/api/state/admin"},
			paths{"/api/state/state/admin/set", "/api/state/x/admin/set"},
			paths{"/api/state/state/admin"},
		},
		"a wildcard cut off": {
			routed("/{team}/", cutting(h)), paths{"/a/admin/set"}, paths{"/a/admin"}, paths{"/a/b/admin/set", "/admin/set"}, paths{"/a/b/admin"},
		},
		"a wildcard outside": {
			cutting(routed("/{team}/", h)), paths{"/x/a/admin/set"}, paths{"/x/a/admin"}, paths{"/x/a/b/admin/set", "/x/admin/set"}, nil,
		},
	} {
		served := web.Sessions(s.app, nil)(tc.h)
		ask := func(method, path string) int { return raw(t, served, method, path) }
		for _, path := range tc.run {
			if status := ask("POST", "http://app.test"+path); status != 200 { // as a proxy may ask
				t.Errorf("%s: POST http://app.test%s: %d", name, path, status)
			}
			if status := ask("POST", path); status != 200 {
				t.Errorf("%s: POST %s: %d", name, path, status)
			}
			for _, trick := range tricks(path) {
				if status := ask("POST", trick); status == 200 {
					t.Errorf("%s: POST %s runs what %s does", name, trick, path)
				}
			}
		}
		for _, path := range tc.read {
			if status := ask("GET", path); status != 200 {
				t.Errorf("%s: GET %s: %d", name, path, status)
			}
			for _, trick := range tricks(path) {
				if status := ask("GET", trick); status == 200 {
					t.Errorf("%s: GET %s shows what %s does", name, trick, path)
				}
			}
		}
		for _, path := range tc.refuse {
			if status := ask("POST", path); status == 200 {
				t.Errorf("%s: POST %s: %d", name, path, status)
			}
		}
		for _, path := range tc.deny {
			if status := ask("GET", path); status == 200 {
				t.Errorf("%s: GET %s: %d", name, path, status)
			}
		}
	}
}

// tricks are ways to write a path that some take for the same.
func tricks(path string) []string {
	i := strings.LastIndexByte(path, '/')
	head, tail := path[:i], path[i+1:]
	return []string{
		path + "/", path + "//", path + "/.", path + "%2F", path + "%00", path + "%20", path + ";x=1", path + ".json",
		head + "//" + tail, head + "/./" + tail, head + "/x/../" + tail, head + "%2F" + tail, head + "%2f" + tail, head + "%252F" + tail,
		head + "/%2E/" + tail, head + "\\" + tail, head + "%5C" + tail, head + "/" + strings.ToUpper(tail), head + "/" + encoded(tail), head + "/%25" + encoded(tail)[1:],
		"/" + path, "/." + path, "/x/.." + path, "/%2E" + path, "//app.test" + path, encodedHead(path),
	}
}

// encoded encodes the first letter of a name, which needs no encoding.
func encoded(name string) string {
	const digits = "0123456789ABCDEF"
	return "%" + string(digits[name[0]>>4]) + string(digits[name[0]&15]) + name[1:]
}

func encodedHead(path string) string { return "/" + encoded(path[1:]) }

// raw serves a request as a server reads it, with a path that is written as it
// is, and returns the status.
func raw(t *testing.T, h http.Handler, method, path string) int {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + path + " HTTP/1.1\r\nHost: app.test\r\n\r\n")))
	if err != nil {
		return http.StatusBadRequest // as the server answers
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}
