package system_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// Notes belong to whom their key field names, a Cart to the session's user.
type Notes struct {
	User  string   `json:"user" stay:"key"`
	Items []string `json:"items"`
}

type Cart struct {
	Items []string `json:"items"`
}

// files is a store.Simple that keeps each value in a file.
type files string

func (f files) Load(_ context.Context, key string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(string(f), key))
	if os.IsNotExist(err) {
		return nil, nil
	}
	return b, err
}

func (f files) Save(_ context.Context, key string, value []byte) error {
	beside := filepath.Join(string(f), "."+key)
	if err := os.WriteFile(beside, value, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, filepath.Join(string(f), key))
}

func (f files) Delete(_ context.Context, key string) error {
	err := os.Remove(filepath.Join(string(f), key))
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// A keySite is one application on one or several nodes.
type keySite struct {
	t     *testing.T
	nodes int
	open  func() store.Store
	opts  stay.Options
	sites []*site
	turn  int // which node gets the next request
}

// keySites are those on which the key rules are shown: stores that last, and
// two nodes on one file that share the requests of every browser.
func keySites(t *testing.T, test func(t *testing.T, x *keySite)) {
	for _, guests := range []stay.GuestMode{stay.GuestMemory, stay.GuestStored} {
		mode := map[stay.GuestMode]string{stay.GuestMemory: "guests in memory", stay.GuestStored: "guests stored"}[guests]
		kinds := map[string]func(t *testing.T) *keySite{
			"memory": func(*testing.T) *keySite {
				m := kept{memstore.New()}
				return &keySite{nodes: 1, open: func() store.Store { return m }}
			},
			"sqlite": func(t *testing.T) *keySite {
				path := tempDB(t)
				return &keySite{nodes: 1, open: func() store.Store { return openSQLite(t, path) }}
			},
			"files": func(t *testing.T) *keySite {
				dir := files(t.TempDir())
				return &keySite{nodes: 1, open: func() store.Store { return store.FromSimple(dir) }}
			},
		}
		if guests == stay.GuestStored {
			kinds["two nodes on sqlite"] = func(t *testing.T) *keySite {
				path := tempDB(t)
				return &keySite{nodes: 2, open: func() store.Store { return openSQLite(t, path, sqlitestore.Shared()) }}
			}
		}
		for kind, open := range kinds {
			t.Run(kind+", "+mode, func(t *testing.T) {
				x := open(t)
				x.t, x.opts.Guests = t, guests
				x.start()
				test(t, x)
			})
		}
	}
}

// start serves the application on each node.
func (x *keySite) start() {
	x.sites = nil
	for range x.nodes {
		s := &site{t: x.t, mux: http.NewServeMux()}
		s.app = newApp(x.t, x.open(), &x.opts)
		notes := stay.Register(s.app, stay.Module[Notes]{
			Name: "notes", Persist: stay.WithKey(func(n *Notes) string { return n.User }),
			Adopt: func(stored, guest *Notes) error {
				stored.Items = append(stored.Items, guest.Items...)
				return nil
			},
		})
		cart := stay.Register(s.app, stay.Module[Cart]{Name: "cart", Persist: stay.PerUser})
		s.counter = stay.Register(s.app, stay.Module[Counter]{Name: "counter", Persist: stay.PerSession})
		handle := func(pattern string, fn func(r *http.Request) error) {
			s.mux.Handle(pattern, web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return fn(r) }))
		}
		s.mux.Handle("GET /notes", web.View(notes, func(w http.ResponseWriter, _ *http.Request, n *Notes) error {
			_, err := fmt.Fprint(w, n.User, n.Items)
			return err
		}))
		s.mux.Handle("GET /cart", web.View(cart, func(w http.ResponseWriter, r *http.Request, c *Cart) error {
			_, err := fmt.Fprint(w, stay.SessionFrom(r.Context()).User(), c.Items)
			return err
		}))
		s.mux.Handle("GET /{$}", web.View(s.counter, show))
		s.mux.Handle("POST /click", web.Update(s.counter, click))
		s.mux.Handle("POST /become", web.Update(notes, func(_ http.ResponseWriter, r *http.Request, n *Notes) error {
			n.User = r.FormValue("user")
			n.Items = append(n.Items, "of the login") // which a switch and a logout drop
			return nil
		}))
		s.mux.Handle("POST /note", web.Update(notes, func(_ http.ResponseWriter, r *http.Request, n *Notes) error {
			n.Items = append(n.Items, r.FormValue("item"))
			return nil
		}))
		s.mux.Handle("POST /cart", web.Update(cart, func(_ http.ResponseWriter, r *http.Request, c *Cart) error {
			c.Items = append(c.Items, r.FormValue("item"))
			return nil
		}))
		handle("POST /delete", func(r *http.Request) error { return notes.Delete(r.Context()) })
		handle("POST /login", func(r *http.Request) error {
			return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user"))
		})
		handle("POST /logout", func(r *http.Request) error { return stay.SessionFrom(r.Context()).Logout(r.Context()) })
		handle("POST /revoke", func(r *http.Request) error { return s.app.Revoke(r.Context(), r.FormValue("user")) })
		s.listen(web.Sessions(s.app, nil)(s.mux))
		x.sites = append(x.sites, s)
	}
}

// restart stops every node and starts them on what they have stored.
func (x *keySite) restart() {
	x.t.Helper()
	for _, s := range x.sites {
		s.server.Close()
		closeApp(x.t, s.app)
	}
	x.start()
}

// A keyVisitor is a browser whose requests go to the nodes in turn.
type keyVisitor struct {
	browser
	x *keySite
}

func (x *keySite) visitor() *keyVisitor { return &keyVisitor{browser{t: x.t}, x} }

func (v *keyVisitor) next() {
	s := v.x.sites[v.x.turn%len(v.x.sites)]
	v.x.turn++
	v.client, v.url = s.server.Client(), s.url
}

// post makes requests that must succeed.
func (v *keyVisitor) post(paths ...string) {
	v.t.Helper()
	for _, path := range paths {
		v.next()
		if a := v.do("POST", path); a.status != 200 {
			v.t.Fatalf("POST %s: %v", path, a)
		}
	}
}

// sees checks what the visitor sees on each node.
func (v *keyVisitor) sees(path, body string) {
	v.t.Helper()
	for range v.x.sites {
		v.next()
		v.want("GET", path, 200, body)
	}
}

// refused checks that a cookie which was replaced or ended reads the initial
// state, changes nothing and is answered without a cookie.
func (v *keyVisitor) refused() {
	v.t.Helper()
	for range v.x.sites {
		for _, path := range []string{"/note?item=stolen", "/cart?item=stolen", "/become?user=eve", "/logout", "/click"} {
			v.next()
			if a := v.do("POST", path); a.status != http.StatusUnauthorized || len(a.set) > 0 {
				v.t.Errorf("POST %s with a cookie that is refused: %v", path, a)
			}
		}
	}
	v.sees("/notes", "[]")
	v.sees("/cart", "[]")
	// A login begins another session, which has nothing of this one.
	eve := v.copy()
	eve.post("/login?user=eve")
	eve.sees("/cart", "eve[]")
	eve.sees("/notes", "[]")
	eve.sees("/", "0")
}

func (v *keyVisitor) copy() *keyVisitor { c := *v; return &c }

// Login by key onto nothing and onto a record, logout, switch and two devices,
// each seen across a restart.
//
// Proves A8, K2, K3, K4, S3, S5, N1.
func TestKeysOnEachStore(t *testing.T) {
	keySites(t, func(t *testing.T, x *keySite) {
		one, two := x.visitor(), x.visitor()
		one.post("/note?item=milk", "/click")
		old := one.copy()
		one.post("/become?user=ann")
		old.refused()
		ann := "ann[milk of the login]"
		one.sees("/notes", ann)
		two.sees("/notes", "[]")

		two.post("/note?item=tea", "/become?user=ann") // adopted, onto the record
		ann = "ann[milk of the login tea of the login]"
		one.sees("/notes", ann)
		two.sees("/notes", ann)
		x.restart()
		one.sees("/notes", ann)
		one.sees("/", "1")

		old = two.copy()
		two.post("/become?user=bob")
		old.refused()
		two.sees("/notes", "bob[]")
		two.post("/note?item=of+bob")
		one.sees("/notes", ann)
		x.restart()
		two.sees("/notes", "bob[of bob]")
		two.post("/become?user=ann")
		two.sees("/notes", ann)

		old = two.copy()
		two.post("/become?user=")
		old.refused()
		two.sees("/notes", "[]")
		two.post("/note?item=of+a+guest")
		one.sees("/notes", ann)
		one.post("/note?item=more")
		x.restart()
		one.sees("/notes", strings.TrimSuffix(ann, "]")+" more]")
		if x.opts.Guests == stay.GuestStored {
			two.sees("/notes", "[of a guest]")
		} else {
			two.sees("/notes", "[]")
		}
		one.sees("/", "1")
	})
}

// Deleting the state of a key detaches its sessions for good, on every device
// and across a restart.
//
// Proves K7, K8.
func TestDeleteDetachesOnEachStore(t *testing.T) {
	keySites(t, func(t *testing.T, x *keySite) {
		one, two, third := x.visitor(), x.visitor(), x.visitor()
		one.post("/become?user=ann", "/note?item=secret")
		two.post("/become?user=ann")
		one.post("/delete")
		one.sees("/notes", "[]")
		two.sees("/notes", "[]")
		third.post("/become?user=ann", "/note?item=of+another+ann")
		for range 2 {
			one.sees("/notes", "[]")
			two.sees("/notes", "[]")
			third.sees("/notes", "ann[of the login of another ann]")
			x.restart()
		}
		two.post("/become?user=ann")
		two.sees("/notes", "ann[of the login of another ann of the login]")
	})
}

// Login and Logout move the states of the user, and Revoke ends all sessions of
// one at once, across a restart.
//
// Proves K2, K3, S5, S7, N1.
func TestUsersOnEachStore(t *testing.T) {
	keySites(t, func(t *testing.T, x *keySite) {
		one, two, other := x.visitor(), x.visitor(), x.visitor()
		one.post("/cart?item=book", "/click")
		old := one.copy()
		one.post("/login?user=ann")
		old.refused()
		two.post("/login?user=ann")
		other.post("/login?user=bob", "/cart?item=of+bob")
		for range 2 {
			one.sees("/cart", "ann[book]")
			two.sees("/cart", "ann[book]")
			other.sees("/cart", "bob[of bob]")
			one.sees("/", "1")
			x.restart()
		}
		old = one.copy()
		one.post("/logout")
		old.refused()
		one.sees("/cart", "[]")
		two.post("/cart?item=pen")
		one.post("/login?user=ann")
		one.sees("/cart", "ann[book pen]")

		other.post("/revoke?user=ann")
		for range 2 {
			one.refused()
			two.refused()
			other.sees("/cart", "bob[of bob]")
			x.restart()
		}
		again := x.visitor()
		again.post("/login?user=ann")
		again.sees("/cart", "ann[book pen]")
		one.refused()
	})
}
