package fromscs

import (
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/sessions"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Old is what another library has kept for a browser.
type Old struct {
	User  string
	Items []string
}

// A Source is the library that visitors come from.
type Source interface {
	// Read returns what is kept for the browser of the request; nil if its
	// cookie is missing or no longer valid.
	Read(r *http.Request) (*Old, error)
	// Done is called when that is stored in Stay. It removes the cookie.
	Done(w http.ResponseWriter, r *http.Request) error
}

// Import moves visitors from another library, each at the first request that
// still has its cookie. If something fails, the request fails, and the next one
// tries again.
func Import(from Source, basket *stay.State[Basket], next http.Handler) http.Handler {
	take := func(w http.ResponseWriter, r *http.Request) error {
		old, err := from.Read(r)
		if old == nil || err != nil {
			return err
		}
		ctx := r.Context()
		if session := stay.SessionFrom(ctx); old.User != "" && session.User() == "" {
			if err := session.Login(ctx, old.User); err != nil {
				return err
			}
		}
		_, err = basket.Update(ctx, func(b *Basket) error {
			if len(b.Items) == 0 { // otherwise it was done before
				b.Items = old.Items
			}
			return nil
		})
		if err != nil {
			return err
		}
		return from.Done(w, r)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := take(w, r); err != nil {
			web.Error(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// SCS reads sessions of scs, with the manager that made them: its store, codec
// and cookie.
type SCS struct{ *scs.SessionManager }

// Read implements Source.
func (s SCS) Read(r *http.Request) (*Old, error) {
	cookie, err := r.Cookie(s.Cookie.Name)
	if err != nil {
		return nil, nil // none
	}
	ctx, err := s.Load(r.Context(), cookie.Value)
	if err != nil || s.Token(ctx) == "" {
		return nil, err
	}
	items, _ := s.Get(ctx, "items").([]string)
	return &Old{User: s.GetString(ctx, "user"), Items: items}, nil
}

// Done implements Source. The old session is good for another minute, for
// requests that were sent together with this one, and for an answer that does
// not arrive.
func (s SCS) Done(w http.ResponseWriter, r *http.Request) error {
	cookie, err := r.Cookie(s.Cookie.Name)
	if err != nil {
		return err
	}
	ctx, err := s.Load(r.Context(), cookie.Value)
	if err != nil {
		return err
	}
	if soon := time.Now().Add(time.Minute); s.Token(ctx) != "" && s.Deadline(ctx).After(soon) {
		s.SetDeadline(ctx, soon)
		if _, _, err := s.Commit(ctx); err != nil {
			return err
		}
	}
	s.WriteSessionCookie(ctx, w, "", time.Time{}) // removes it
	return nil
}

// Gorilla reads sessions of gorilla/sessions, from the store that made them.
type Gorilla struct {
	sessions.Store
	Name string
}

// Read implements Source.
func (g Gorilla) Read(r *http.Request) (*Old, error) {
	session, err := g.New(r, g.Name)
	if err != nil || session.IsNew {
		return nil, nil // none, or no longer valid
	}
	user, _ := session.Values["user"].(string)
	items, _ := session.Values["items"].([]string)
	return &Old{User: user, Items: items}, nil
}

// Done implements Source.
func (g Gorilla) Done(w http.ResponseWriter, r *http.Request) error {
	session, _ := g.New(r, g.Name) // never nil, also if another request has ended it
	session.Options.MaxAge = -1
	return g.Save(r, w, session)
}
