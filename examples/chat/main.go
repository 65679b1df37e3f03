// Command chat has a few rooms for everybody. All pages that are open show at once
// what is said, how many messages the user has not read in each room, and who else
// is there. Any number of processes serve it together: with -store they keep their
// state in one PostgreSQL or Redis database, in NATS or in Durable Objects, and every
// request may reach another process. two-nodes.sh starts two of them behind a proxy.
//
// It asks for no password: see signIn in handler.go for where that belongs.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

func main() {
	serve.Run("chat", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("chat", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:3000", "`address` to listen on; port 0 picks a free one")
	where := flags.String("store", "", "sqlite:`file`, or the postgres://, redis://, nats:// or cloudflare:https:// URL that all nodes share, the last with its secret in $STAY_SECRET; default $CHAT_STORE, or sqlite:chat.db")
	keys := flags.String("keys", "", "`file` with the keys that sign cookies, 64 hex digits a line, the same on all nodes; by default they are in the store")
	_ = flags.Parse(args) // it exits
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	options := &web.Options{Cookie: "chat"}
	if *keys != "" {
		var err error
		if options.Keys, err = readKeys(*keys); err != nil {
			return err
		}
	}
	s, err := open(ctx, cmp.Or(*where, os.Getenv("CHAT_STORE"), "sqlite:chat.db"))
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	app := stay.New(s, &stay.Options{MaxState: 1_000_000}) // NATS takes little less than the default
	return serve.Serve(ctx, *addr, stdout, app, newHandler(newChat(app), options))
}

// open opens the store that -store names.
func open(ctx context.Context, where string) (store.Store, error) {
	if path, ok := strings.CutPrefix(where, "sqlite:"); ok {
		return sqlitestore.Open(path)
	}
	if strings.HasPrefix(where, "postgres://") {
		return pgstore.Open(ctx, where)
	}
	if strings.HasPrefix(where, "redis://") || strings.HasPrefix(where, "rediss://") {
		return redisstore.Open(ctx, where)
	}
	if strings.HasPrefix(where, "nats://") || strings.HasPrefix(where, "tls://") {
		return natsstore.Open(ctx, where)
	}
	if url, ok := strings.CutPrefix(where, "cloudflare:"); ok {
		objects, err := cloudflarestore.Open(ctx, url, os.Getenv("STAY_SECRET"))
		if err != nil {
			return nil, err
		}
		return sharded.New(objects) // a login is about several objects
	}
	return nil, errors.New("-store is sqlite:FILE, postgres://URL, redis://URL, nats://URL or cloudflare:https://URL")
}

// readKeys reads a file with a key in each line.
func readKeys(name string) ([][]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for line := range bytes.Lines(text) {
		key, err := hex.DecodeString(string(bytes.TrimSpace(line)))
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("%s: a line is not 64 hex digits", name)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key", name)
	}
	return keys, nil
}
