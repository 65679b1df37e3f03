package stay_test

import (
	"context"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
)

// visitor returns the context of a request of a new browser, as a handler
// behind web.Sessions finds it in r.Context().
func visitor(app *stay.App) context.Context { return testkit.NewBrowser(app).Ctx() }
