// Package fiber2 serves the site with fiber, version 2.
package fiber2

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gofiber/fiber/v2/middleware/recover"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/tests/routers/site"
	"github.com/stay-go/stay/web"
)

// New returns the site.
func New(s *site.Site) *fiber.App {
	app := fiber.New(fiber.Config{ErrorHandler: answerError})
	app.Use(recover.New(), sessions(s.App))
	routes(app, s)
	return app
}

// sessions is web.Sessions for fiber.
func sessions(app *stay.App) fiber.Handler {
	begin := web.Visits(app, nil)
	return func(c *fiber.Ctx) error {
		r, err := adaptor.ConvertRequest(c, true)
		if err != nil {
			return err
		}
		visit, err := begin(r.WithContext(c.UserContext()))
		if err != nil {
			return err
		}
		defer func() {
			for name, lines := range visit.End() {
				for _, line := range lines {
					c.Response().Header.Add(name, line)
				}
			}
		}()
		c.SetUserContext(visit.Context())
		return c.Next()
	}
}

// withPath makes a route from a handler of net/http, which finds the session,
// and the parameters of the path with r.PathValue.
func withPath(h http.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		return adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(c.UserContext())
			r.Pattern = c.Route().Path
			for _, name := range c.Route().Params {
				if value, err := url.PathUnescape(c.Params(name)); err == nil {
					r.SetPathValue(name, value)
				}
			}
			h.ServeHTTP(w, r)
		})(c)
	}
}

// answerError answers all errors but those of fiber with web.Error.
func answerError(c *fiber.Ctx, err error) error {
	var own *fiber.Error
	if errors.As(err, &own) {
		return fiber.DefaultErrorHandler(c, err)
	}
	return withPath(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.Error(w, r, err) }))(c)
}

func routes(app *fiber.App, s *site.Site) {
	app.Get("/", withPath(s.View()))
	app.Post("/add/:n", withPath(s.Add()))
	app.Post("/note/:text", withPath(s.Note()))
	app.Post("/panic", withPath(s.Panic()))
	app.All("/state/*", withPath(s.Actions()))
	app.Get("/plain", withPath(http.HandlerFunc(site.Plain)))
	app.Get("/stream", withPath(http.HandlerFunc(s.Stream)))
	app.Get("/socket", socket(s))

	app.Get("/own", func(c *fiber.Ctx) error { return answer(c)(s.Count(c.UserContext())) })
	app.Post("/own/:n", func(c *fiber.Ctx) error { return answer(c)(s.AddText(c.UserContext(), c.Params("n"))) })
	app.Post("/doc/:name", func(c *fiber.Ctx) error { return answer(c)(s.CountDoc(c.UserContext(), c.Params("name"))) })
	app.Post("/login/:user", func(c *fiber.Ctx) error { return answer(c)(0, s.Login(c.UserContext(), c.Params("user"))) })
	app.Get("/own-stream", func(c *fiber.Ctx) error { return stream(c, s) })
	app.Post("/own-panic", func(*fiber.Ctx) error { panic("the password is hunter2") })
}

func answer(c *fiber.Ctx) func(n int, err error) error {
	return func(n int, err error) error {
		if err != nil {
			return err
		}
		return c.SendString(strconv.Itoa(n))
	}
}

// stream sends the count as events.
func stream(c *fiber.Ctx, s *site.Site) error {
	ctx := c.UserContext()
	n, err := s.Count(ctx) // the first use, while the header is still to be sent
	if err != nil {
		return err
	}
	c.Set("Content-Type", "text/event-stream")
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		for err == nil {
			if _, err := fmt.Fprintf(w, "data: %d\n\n", n); err != nil || w.Flush() != nil || !s.Wait(ctx) {
				return
			}
			n, err = s.Count(ctx)
		}
	})
	return nil
}

// socket adds one for every message and answers with the count.
func socket(s *site.Site) fiber.Handler {
	var upgrader websocket.FastHTTPUpgrader
	return func(c *fiber.Ctx) error {
		ctx := c.UserContext() // of the visit; c itself is used for another request after the upgrade
		return upgrader.Upgrade(c.Context(), func(conn *websocket.Conn) {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
				n, err := s.AddText(ctx, "1")
				if err != nil {
					_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, string(stay.CodeOf(err))))
					return
				}
				if conn.WriteMessage(websocket.TextMessage, []byte(strconv.Itoa(n))) != nil {
					return
				}
			}
		})
	}
}
