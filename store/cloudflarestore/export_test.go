package cloudflarestore

import (
	"context"
	"net"
)

// OpenWith is Open with connections that dial makes.
func OpenWith(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), url, secret string, options ...Option) (*Store, error) {
	return openWith(ctx, dial, url, secret, options)
}
