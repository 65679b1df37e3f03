package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/sqlitestore"
)

// openAll opens the store that every node has, which may be several databases.
func openAll(ctx context.Context, urls []string, attempt time.Duration) (whole, error) {
	if len(urls) == 1 {
		return open(ctx, urls[0], attempt)
	}
	databases := map[string]store.Store{}
	for i, url := range urls {
		s, err := open(ctx, url, attempt)
		if err != nil {
			return nil, err
		}
		databases[fmt.Sprint("database", i)] = s
	}
	router, err := sharded.OpenRouter(ctx, databases)
	if err != nil {
		return nil, err
	}
	return sharded.New(router)
}

// open opens one database.
func open(ctx context.Context, url string, attempt time.Duration) (whole, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "postgres", "postgresql":
		return pgstore.Open(ctx, url, pgstore.Attempt(attempt))
	case "nats":
		return natsstore.Open(ctx, url, natsstore.Attempt(attempt))
	case "redis":
		return redisstore.Open(ctx, url, redisstore.Attempt(attempt))
	case "cloudflare:http":
		return openObjects(ctx, strings.TrimPrefix(url, "cloudflare:"), attempt)
	}
	return sqlitestore.Open(url, sqlitestore.Shared())
}

// openObjects opens the store of a Worker, whose secret is STAY_SECRET. The URL has
// the number of objects as its parameter shards; 0 is an object for each home.
func openObjects(ctx context.Context, where string, attempt time.Duration) (whole, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(u.Query().Get("shards"))
	if err != nil {
		return nil, fmt.Errorf("the number of shards: %w", err)
	}
	u.RawQuery = ""
	layout := cloudflarestore.Shards(n)
	if n == 0 {
		layout = cloudflarestore.ObjectPerHome()
	}
	s, err := cloudflarestore.Open(ctx, u.String(), os.Getenv("STAY_SECRET"), cloudflarestore.Attempt(attempt), layout)
	if err != nil || n == 1 { // one object has groups of any writes
		return s, err
	}
	return sharded.New(s)
}
