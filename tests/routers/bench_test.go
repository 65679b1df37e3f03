package routers_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/valyala/fasthttp"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/routers/fiber3"
	"github.com/stay-go/stay/tests/routers/site"
	"github.com/stay-go/stay/web"
)

func BenchmarkFiber(b *testing.B) {
	app := stay.New(memstore.New(), &stay.Options{Logger: slog.New(slog.DiscardHandler)})
	defer app.Close(context.Background())
	s := site.New(app)
	native := fiber3.New(s).Handler()
	mux := http.NewServeMux()
	mux.Handle("/", s.View())
	f := fiber.New()
	f.Use(adaptor.HTTPHandler(web.Sessions(app, nil)(mux)))
	whole := f.Handler()
	bare := fiber.New()
	bare.Get("/own", func(c fiber.Ctx) error { return c.SendString("0") })
	run := func(name, path string, h fasthttp.RequestHandler) {
		b.Run(name, func(b *testing.B) {
			var first fasthttp.RequestCtx
			first.Init(&fasthttp.Request{}, nil, nil)
			first.Request.SetRequestURI("http://app.test" + path)
			h(&first)
			var c fasthttp.Cookie
			c.SetKey("stay")
			first.Response.Header.Cookie(&c)
			b.ReportAllocs()
			for b.Loop() {
				var ctx fasthttp.RequestCtx
				ctx.Init(&fasthttp.Request{}, nil, nil)
				ctx.Request.SetRequestURI("http://app.test" + path)
				ctx.Request.Header.SetCookie("stay", string(c.Value()))
				h(&ctx)
				if ctx.Response.StatusCode() != 200 {
					b.Fatal(ctx.Response.String())
				}
			}
		})
	}
	run("bare", "/own", bare.Handler())
	run("visit", "/own", native)
	run("visit-withPath", "/", native)
	run("adaptor", "/", whole)
}
