package natsstore

import (
	"context"

	"github.com/nats-io/nats.go"
)

// OpenWith is Open with a dialer.
func OpenWith(ctx context.Context, url string, dial nats.CustomDialer, options ...Option) (*Store, error) {
	return openWith(ctx, url, dial, options)
}
