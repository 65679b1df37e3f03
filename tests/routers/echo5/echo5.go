// Package echo5 serves the site with echo, version 5.
package echo5

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/stay-go/stay/tests/routers/site"
	"github.com/stay-go/stay/web"
)

// Around returns the site with the sessions around the router.
func Around(s *site.Site) http.Handler {
	e := newEcho()
	routes(e, s)
	return web.Sessions(s.App, nil)(e)
}

// Inside returns the site with the sessions as a middleware of the router.
func Inside(s *site.Site) http.Handler {
	e := newEcho()
	e.Use(echo.WrapMiddleware(web.Sessions(s.App, nil)))
	routes(e, s)
	return e
}

// answerErrors answers all errors but those of echo with web.Error.
func answerErrors(e *echo.Echo) {
	standard := e.HTTPErrorHandler
	e.HTTPErrorHandler = func(c *echo.Context, err error) {
		var own echo.HTTPStatusCoder
		if errors.As(err, &own) {
			standard(c, err)
			return
		}
		web.Error(c.Response(), c.Request(), err)
	}
}

func newEcho() *echo.Echo {
	e := echo.New()
	e.Use(middleware.Recover())
	answerErrors(e)
	return e
}

func routes(e *echo.Echo, s *site.Site) {
	e.GET("/", echo.WrapHandler(s.View()))
	e.POST("/add/:n", echo.WrapHandler(s.Add()))
	e.POST("/note/:text", echo.WrapHandler(s.Note()))
	e.POST("/panic", echo.WrapHandler(s.Panic()))
	e.Any("/state/*", echo.WrapHandler(s.Actions()))
	e.GET("/plain", echo.WrapHandler(http.HandlerFunc(site.Plain)))
	e.GET("/stream", echo.WrapHandler(http.HandlerFunc(s.Stream)))
	e.GET("/socket", echo.WrapHandler(http.HandlerFunc(s.Socket)))

	e.GET("/own", func(c *echo.Context) error { return answer(c)(s.Count(c.Request().Context())) })
	e.POST("/own/:n", func(c *echo.Context) error { return answer(c)(s.AddText(c.Request().Context(), c.Param("n"))) })
	e.POST("/doc/:name", func(c *echo.Context) error { return answer(c)(s.CountDoc(c.Request().Context(), c.Param("name"))) })
	e.POST("/login/:user", func(c *echo.Context) error { return answer(c)(0, s.Login(c.Request().Context(), c.Param("user"))) })
	e.GET("/own-stream", func(c *echo.Context) error { return stream(c, s) })
	e.POST("/own-panic", func(*echo.Context) error { panic("the password is hunter2") })
}

// stream sends the count as events.
func stream(c *echo.Context, s *site.Site) error {
	ctx := c.Request().Context()
	c.Response().Header().Set("Content-Type", "text/event-stream")
	for n, err := s.Count(ctx); ; n, err = s.Count(ctx) {
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.Response(), "data: %d\n\n", n); err != nil {
			return err
		}
		if err := http.NewResponseController(c.Response()).Flush(); err != nil || !s.Wait(ctx) {
			return err
		}
	}
}

func answer(c *echo.Context) func(n int, err error) error {
	return func(n int, err error) error {
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, strconv.Itoa(n))
	}
}
