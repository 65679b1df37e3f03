package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Programs listen on ports that the systems give to no connection on their way out:
// those of Linux begin at 32768, those of others at 49152. A port that such a
// connection has is taken until it ends, and a server that starts again needs its
// own.
const firstPort, ports = 20000, 12000

// FreePorts chooses n ports of 127.0.0.1 in a row that nobody listens on, and returns
// the first. Somebody else may take one before the caller does; that is rare, because
// they are chosen at random.
func FreePorts(n int) (int, error) {
	var err error
	for range 100 {
		first := firstPort + rand.IntN(ports-n)
		if err = free(first, n); err == nil {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

// free reports an error if one of n ports from the first on is taken.
func free(first, n int) (err error) {
	for port := first; port < first+n; port++ {
		l, lerr := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if lerr != nil {
			return lerr
		}
		defer func() { err = errors.Join(err, l.Close()) }() // once all were tried
	}
	return nil
}
