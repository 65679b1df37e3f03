package routers_test

import (
	"errors"
	"testing"

	fiberv2 "github.com/gofiber/fiber/v2"
	adaptorv2 "github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/valyala/fasthttp"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/tests/routers/site"
	"github.com/stay-go/stay/web"
)

// Fiber's adaptor for middleware returns before the next handler runs, so a
// cookie of that handler could not be sent. The handler gets no session, and
// its change is refused.
//
// Proves B8, W2.
func TestTheMiddlewareAdaptorOfFiberGivesNoSession(t *testing.T) {
	for _, w := range []way{
		{name: "fiber 2", fast: func(s *site.Site) fasthttp.RequestHandler {
			app := fiberv2.New()
			app.Use(adaptorv2.HTTPMiddleware(web.Sessions(s.App, nil)))
			app.Post("/own/:n", func(c *fiberv2.Ctx) error {
				_, err := s.AddText(c.UserContext(), c.Params("n"))
				_, err2 := s.AddText(c.Context(), c.Params("n"))
				return refused(err, err2)
			})
			return app.Handler()
		}},
		{name: "fiber 3", fast: func(s *site.Site) fasthttp.RequestHandler {
			app := fiber.New()
			app.Use(adaptor.HTTPMiddleware(web.Sessions(s.App, nil)))
			app.Post("/own/:n", func(c fiber.Ctx) error {
				_, err := s.AddText(c.Context(), c.Params("n"))
				_, err2 := s.AddText(c.RequestCtx(), c.Params("n"))
				return refused(err, err2)
			})
			return app.Handler()
		}},
	} {
		t.Run(w.name, func(t *testing.T) {
			x := newTrial(t, w, false)
			x.browser().want("POST", "/own/1", 200, "")
			for key, err := range x.site.Counter.Keys(t.Context()) {
				t.Errorf("a state is stored under %q, %v", key, err)
			}
		})
	}
}

// refused returns nil if all errors say that there is no session.
func refused(errs ...error) error {
	for _, err := range errs {
		if !errors.Is(err, stay.ErrNoSession) {
			return errors.Join(errors.New("not refused"), err)
		}
	}
	return nil
}
