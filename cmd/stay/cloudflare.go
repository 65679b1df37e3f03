package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strconv"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// openCloudflare opens the store of a Worker. Its objects must be a known number, or
// there is nothing to list.
func openCloudflare(ctx context.Context, name string) (store.Store, error) {
	u, err := url.Parse(name)
	if err != nil {
		return nil, errForm
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errForm
	}
	var options []cloudflarestore.Option
	for parameter, values := range query {
		switch parameter {
		case "name":
			options = append(options, cloudflarestore.Name(values[0]))
		case "shards":
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 {
				return nil, &usageError{errors.New("the shards of the store are a number of objects, as in shards=64")}
			}
			options = append(options, cloudflarestore.Shards(n))
		default:
			return nil, &usageError{errors.New("the URL of a Worker takes the parameters name and shards")}
		}
	}
	u.RawQuery = ""
	secret := os.Getenv("STAY_SECRET")
	if secret == "" {
		return nil, &usageError{errors.New("the secret of the Worker is missing: put it into the environment as STAY_SECRET")}
	}
	s, err := cloudflarestore.Open(ctx, u.String(), secret, options...)
	if err != nil {
		return nil, err
	}
	return s, nil
}
