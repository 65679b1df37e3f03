// Package sessionid names the session of a cookie, for tests that follow what a
// browser has, good or not: stay.Session.ID says nothing of a cookie that is not.
package sessionid

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"strings"
)

// Of is the ID of the session that the cookie names, "" if it is none of Stay's.
// Behind the id of the key and a byte for the format there are 16 for the session.
func Of(cookie string) string {
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) < 21 {
		return ""
	}
	sum := sha256.Sum256(b[5:21])
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:20]))
}
