package logins

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
)

type accounts struct{ passwords map[string]string }

func (a accounts) Check(_ context.Context, name, password string) (string, error) {
	if password == "" || a.passwords[name] != password {
		return "", stay.ErrDenied
	}
	return name, nil
}

func (a accounts) SetPassword(_ context.Context, user, password string) error {
	a.passwords[user] = password
	return nil
}

func newSite(t *testing.T, opts *stay.Options) *Site {
	return NewSite(staytest.App(t, opts), accounts{map[string]string{"ann": "one", "bob": "two"}})
}

// A device is a browser at the site.
type device struct {
	t       *testing.T
	client  *http.Client
	address string
}

func newDevice(t *testing.T, handler http.Handler) *device {
	client, address := staytest.Browser(t, handler)
	return &device{t, client, address}
}

func (d *device) get(path, want string) {
	d.t.Helper()
	resp, err := d.client.Get(d.address + path)
	d.check(path, resp, err, 200, want)
}

func (d *device) post(path string, status int, want string, form ...string) {
	d.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	resp, err := d.client.PostForm(d.address+path, values)
	d.check(path, resp, err, status, want)
}

func (d *device) check(path string, resp *http.Response, err error, status int, want string) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || !strings.Contains(string(body), want) {
		d.t.Errorf("%s: %d %q %v, want %d and %q", path, resp.StatusCode, body, err, status, want)
	}
}

// The handlers of the guide.
//
// Proves S5, S7.
func TestGuideOfLogins(t *testing.T) {
	clock := staytest.NewClock()
	site := newSite(t, &stay.Options{Clock: clock.Now})
	site.now = clock.Now
	handler := site.Handler()
	laptop, phone := newDevice(t, handler), newDevice(t, handler)

	laptop.post("/basket", 200, "", "item", "tea")
	laptop.post("/login", 403, "", "name", "ann", "password", "wrong")
	laptop.get("/", ": [tea]")
	laptop.post("/login", 200, "ann: [tea]", "name", "ann", "password", "one")
	phone.post("/basket", 200, "", "item", "cup")
	phone.post("/login", 200, "ann: [tea cup]", "name", "ann", "password", "one")
	laptop.get("/", "ann: [tea cup]")
	laptop.get("/devices", "(this one)")
	laptop.post("/logout", 200, ": []")
	phone.get("/", "ann: [tea cup]")
	laptop.post("/devices/x/end", 403, "")

	// Another device is ended. For a minute that browser gets no new session, but
	// by a login.
	laptop.post("/login", 200, "ann: [tea cup]", "name", "ann", "password", "one")
	ids := []string{}
	for session, err := range site.app.Sessions(t.Context(), "ann") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, session.ID())
	}
	if len(ids) != 2 {
		t.Fatalf("sessions %v", ids)
	}
	laptop.post("/devices/"+strings.Repeat("0", 32)+"/end", 404, "")
	laptop.post("/devices/"+ids[0]+"/end", 200, "")
	phone.get("/", ": []")
	phone.post("/basket", 401, "the session has ended", "item", "pot")
	phone.post("/login", 200, "ann: [tea cup]", "name", "ann", "password", "one", "remember", "yes")

	// Ended from itself, a device can log in again at once.
	laptop.post("/devices/"+ids[1]+"/end", 200, "")
	laptop.get("/", ": []")
	laptop.post("/login", 200, "ann: [tea cup]", "name", "ann", "password", "one")

	// A new password needs the old one once more.
	clock.Advance(time.Hour)
	laptop.post("/password", 403, "once more", "password", "three")
	laptop.post("/confirm", 403, "", "name", "bob", "password", "two")
	laptop.post("/confirm", 200, "ann: [tea cup]", "name", "ann", "password", "one")

	// It ends all.
	laptop.post("/password", 200, ": []", "password", "three")
	laptop.post("/login", 403, "", "name", "ann", "password", "one")
	laptop.post("/login", 200, "ann: [tea cup]", "name", "ann", "password", "three")
	phone.get("/", ": []")
	phone.post("/login", 200, "ann: [tea cup]", "name", "ann", "password", "three")

	// A page of ann's that is still open when bob has logged in.
	page := phone.page("/")
	phone.post("/login", 200, "bob: []", "name", "bob", "password", "two")
	phone.post("/basket", 409, "load it again", "item", "for ann", "_stay_page", page)
	phone.get("/", "bob: []")
}

// page returns the value of the field that the forms of a page carry.
func (d *device) page(path string) string {
	d.t.Helper()
	resp, err := d.client.Get(d.address + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(body), `name="_stay_page" value="`)
	value, _, _ = strings.Cut(value, `"`)
	return value
}

// What is stored of a user is exported and goes; other users keep theirs.
//
// Proves S5, S7.
func TestGuideOfExportAndForget(t *testing.T) {
	site := newSite(t, nil)
	ann, bob := staytest.Session(t, site.app), staytest.Session(t, site.app)
	for user, ctx := range map[string]context.Context{"ann": ann, "bob": bob} {
		if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
			t.Fatal(err)
		}
		if _, err := site.profile.Update(ctx, func(p *Profile) error { p.Name = user; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := site.look.Update(ctx, func(l *Look) error { l.Dark = true; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := site.Export(t.Context(), &out, "ann"); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Profile  Profile
		Basket   *Basket
		Sessions []struct {
			Created, LastSeen time.Time
			Look              Look
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Profile.Name != "ann" || got.Basket != nil || len(got.Sessions) != 1 || !got.Sessions[0].Look.Dark || got.Sessions[0].Created.IsZero() {
		t.Errorf("exported %s", out.String())
	}
	id := stay.SessionFrom(ann).ID()
	for range 2 {
		if err := site.Forget(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		second(site.profile.At("ann").Get(t.Context())), second(site.look.At(id).Get(t.Context())),
	} {
		if stay.CodeOf(err) != stay.ErrNotFound {
			t.Errorf("%v, want ErrNotFound", err)
		}
	}
	staytest.Want(t, ann, site.profile, Profile{})
	staytest.Want(t, bob, site.profile, Profile{Name: "bob"})
	staytest.Want(t, bob, site.look, Look{Dark: true})
}

func second[T any](_ T, err error) error { return err }

// A session's lifetime counts from its first use, not from the login.
//
// Proves S6.
func TestGuideOfLifetime(t *testing.T) {
	clock := staytest.NewClock()
	site := newSite(t, &stay.Options{Clock: clock.Now})
	ctx := staytest.Session(t, site.app)
	if _, err := site.look.Update(ctx, func(l *Look) error { l.Dark = true; return nil }); err != nil {
		t.Fatal(err)
	}
	for range 29 {
		clock.Advance(23 * time.Hour)
		staytest.Want(t, ctx, site.look, Look{Dark: true})
	}
	if err := stay.SessionFrom(ctx).Login(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := site.profile.Update(ctx, func(p *Profile) error { p.Name = "Ann"; return nil }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		staytest.Want(t, ctx, site.profile, Profile{Name: "Ann"})
		clock.Advance(23 * time.Hour)
	}
	clock.Advance(8 * time.Hour)
	staytest.Want(t, ctx, site.profile, Profile{})
	staytest.Want(t, t.Context(), site.profile.At("ann"), Profile{Name: "Ann"})
}

// An action cannot log in, what it puts off can.
//
// Proves E4, E10.
func TestGuideOfAfter(t *testing.T) {
	app := staytest.App(t, nil)
	type invitation struct {
		Used int `json:"used"`
	}
	invitations := stay.Register(app, stay.Module[invitation]{
		Name: "invitation", Persist: stay.Global,
		Actions: stay.Actions[invitation]{"use": func(c *stay.Call, i *invitation) error {
			i.Used++
			s := c.Session()
			if err := s.Login(c.Context(), "ann"); stay.CodeOf(err) != stay.ErrNested {
				t.Errorf("Login inside an action: %v", err)
			}
			c.After(func(ctx context.Context) {
				if err := s.Login(ctx, "ann"); err != nil {
					t.Error(err)
				}
			})
			return nil
		}},
	})
	ctx := staytest.Session(t, app)
	if _, err := invitations.Do(ctx, "use", nil); err != nil {
		t.Fatal(err)
	}
	if user := stay.SessionFrom(ctx).User(); user != "ann" {
		t.Errorf("user %q", user)
	}
}

// The list for administrators and the callback of a provider.
//
// Proves S7, W7.
func TestGuideOfAdministrators(t *testing.T) {
	site := newSite(t, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /everybody", func(w http.ResponseWriter, r *http.Request) {
		if err := site.everybody(w, r); err != nil {
			t.Error(err)
		}
	})
	handler := site.providerHandler(mux, func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), "user-of-"+r.FormValue("code"))
	})
	for i := range 60 {
		newDevice(t, handler).post("/callback", 200, "", "code", strconv.Itoa(i))
	}
	d := newDevice(t, handler)
	lines := func(path string) []string {
		resp, err := d.client.Get(d.address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), " Go-http-client/") || !strings.Contains(string(body), " user-of-") {
			t.Errorf("%s: %s %v", path, body, err)
		}
		return strings.Split(strings.TrimSpace(string(body)), "\n")
	}
	first := lines("/everybody")
	id, _, _ := strings.Cut(first[len(first)-1], " ")
	if rest := lines("/everybody?after=" + id); len(first) != 50 || len(rest) != 10 {
		t.Errorf("pages of %d and %d", len(first), len(rest))
	}
}
