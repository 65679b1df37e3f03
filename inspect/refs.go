package inspect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/stay-go/stay/internal/access"
)

// refs seal what links name, so that neither the ids of sessions nor the names of
// users are in addresses, which browsers keep and proxies log. The same name gives
// the same text, so that a page whose content is the same is the same. The key is
// drawn for each handler: a link is good as long as its process runs.
type refs struct {
	aead  cipher.AEAD
	nonce [32]byte // the key of nonces
}

func newRefs() *refs {
	var r refs
	var key [32]byte
	_, _ = rand.Read(key[:]) // it does not fail
	_, _ = rand.Read(r.nonce[:])
	block, err := aes.NewCipher(key[:])
	if err == nil {
		r.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(err) // the length of the key is right
	}
	return &r
}

// What a ref names. One of one kind is none of another.
const (
	refState   = "state"
	refSession = "session"
	refUser    = "user"
	refAfter   = "after" // where a page of a list begins
)

func (r *refs) seal(kind, name string) string {
	mac := hmac.New(sha256.New, r.nonce[:])
	mac.Write([]byte(kind + "\x00" + name))
	nonce := mac.Sum(nil)[:r.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(r.aead.Seal(nonce, nonce, []byte(name), []byte(kind)))
}

// open returns what a ref names; ok is false for a ref of another kind or process,
// and for anything else.
func (r *refs) open(kind, ref string) (name string, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(ref)
	n := r.aead.NonceSize()
	if err != nil || len(sealed) < n {
		return "", false
	}
	b, err := r.aead.Open(nil, sealed[:n], sealed[n:], []byte(kind))
	return string(b), err == nil
}

func (r *refs) state(p access.Place) string {
	owner := "k"
	if p.Guest {
		owner = "g"
	}
	return r.seal(refState, p.Module+"/"+owner+p.Key)
}

func (r *refs) openState(ref string) (p access.Place, ok bool) {
	name, ok := r.open(refState, ref)
	if !ok {
		return p, false
	}
	p.Module, name, _ = strings.Cut(name, "/") // names of modules have no slash
	p.Guest, p.Key = name[0] == 'g', name[1:]
	return p, true
}
