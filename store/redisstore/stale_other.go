//go:build !unix

package redisstore

import "net"

// closedByPeer cannot tell here: the next use of the connection fails instead.
func closedByPeer(net.Conn) bool { return false }
