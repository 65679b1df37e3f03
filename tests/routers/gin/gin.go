// Package gin serves the site with gin.
package gin

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/stay-go/stay/tests/routers/site"
	"github.com/stay-go/stay/web"
)

// New returns the site.
func New(s *site.Site) http.Handler {
	e := gin.New()
	e.Use(gin.RecoveryWithWriter(io.Discard), answerErrors)
	routes(e, s)
	return web.Sessions(s.App, nil)(e)
}

// withPath makes a route from a handler of net/http, which finds the parameters
// of the path with r.PathValue.
func withPath(h http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Request.Pattern = c.FullPath()
		for _, p := range c.Params {
			c.Request.SetPathValue(p.Key, p.Value)
		}
		h.ServeHTTP(c.Writer, c.Request)
	}
}

// answerErrors is a middleware that answers the last error of a handler with
// web.Error, unless the handler has answered.
func answerErrors(c *gin.Context) {
	c.Next()
	if err := c.Errors.Last(); err != nil && !c.Writer.Written() {
		web.Error(c.Writer, c.Request, err.Err)
	}
}

func routes(e *gin.Engine, s *site.Site) {
	e.GET("/", withPath(s.View()))
	e.POST("/add/:n", withPath(s.Add()))
	e.POST("/note/:text", withPath(s.Note()))
	e.POST("/panic", withPath(s.Panic()))
	e.Any("/state/*rest", withPath(http.StripPrefix("/state", s.Actions())))
	e.GET("/plain", withPath(http.HandlerFunc(site.Plain)))
	e.GET("/stream", withPath(http.HandlerFunc(s.Stream)))
	e.GET("/socket", withPath(http.HandlerFunc(s.Socket)))

	e.GET("/own", func(c *gin.Context) { answer(c)(s.Count(c.Request.Context())) })
	e.POST("/own/:n", func(c *gin.Context) { answer(c)(s.AddText(c.Request.Context(), c.Param("n"))) })
	e.POST("/doc/:name", func(c *gin.Context) { answer(c)(s.CountDoc(c.Request.Context(), c.Param("name"))) })
	e.POST("/login/:user", func(c *gin.Context) { answer(c)(0, s.Login(c.Request.Context(), c.Param("user"))) })
	e.GET("/own-stream", func(c *gin.Context) { stream(c, s) })
	e.POST("/own-panic", func(*gin.Context) { panic("the password is hunter2") })
}

// stream sends the count as events.
func stream(c *gin.Context, s *site.Site) {
	ctx := c.Request.Context()
	c.Header("Content-Type", "text/event-stream")
	c.Stream(func(w io.Writer) bool {
		n, err := s.Count(ctx)
		if err != nil {
			_ = c.Error(err)
			return false
		}
		_, err = fmt.Fprintf(w, "data: %d\n\n", n)
		c.Writer.Flush()
		return err == nil && s.Wait(ctx)
	})
}

func answer(c *gin.Context) func(n int, err error) {
	return func(n int, err error) {
		if err != nil {
			_ = c.Error(err)
			return
		}
		c.String(http.StatusOK, strconv.Itoa(n))
	}
}
