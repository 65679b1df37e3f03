package stay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"sync"

	"github.com/stay-go/stay/internal/bridge"
)

// A signKey signs tokens with HMAC-SHA256. Tokens name it by the first bytes
// of a hash of the secret.
type signKey struct {
	id       [4]byte
	macs     sync.Pool // of *mac
	verified verified
}

// A mac computes signatures, one at a time.
type mac struct {
	hash.Hash
	sum []byte
}

func newSignKey(secret []byte) *signKey {
	k := &signKey{}
	sum := sha256.Sum256(append([]byte("stay key id\x00"), secret...))
	copy(k.id[:], sum[:])
	k.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }
	return k
}

var tokenDomain = []byte("stay session\x00")

// signed has use look at the signature of payload, while it lasts.
func (k *signKey) signed(payload []byte, use func(sum []byte)) {
	m := k.macs.Get().(*mac)
	m.Reset()
	m.Write(tokenDomain)
	m.Write(payload)
	m.sum = m.Sum(m.sum[:0])
	use(m.sum)
	k.macs.Put(m)
}

// A keyring implements bridge.Keyring. A token is the base64url form of the
// key's id, the payload and the signature.
type keyring struct {
	fixed []*signKey // as the options name them
	app   *keyStore  // else as the store has them
}

const (
	minSecret = 32
	// maxToken bounds, in bytes, what is looked at: whoever sends it may send
	// anything. Tokens of ours have about 100.
	maxToken = 512
)

func newKeyring(app *App, secrets [][]byte) *keyring {
	r := &keyring{app: &app.keys}
	for i, s := range secrets {
		if len(s) < minSecret {
			panic(fmt.Sprintf("stay: signing key %d has %d bytes: use at least %d random ones", i, len(s), minSecret))
		}
		r.fixed = append(r.fixed, newSignKey(append([]byte(nil), s...)))
	}
	return r
}

// signer returns the key that signs now.
func (r *keyring) signer(ctx context.Context) (*signKey, error) {
	if r.fixed != nil {
		return r.fixed[0], nil
	}
	return r.app.signer(ctx)
}

// Sign implements bridge.Keyring.
func (r *keyring) Sign(ctx context.Context, t *bridge.Token) (string, error) {
	k, err := r.signer(ctx)
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, len(k.id)+tokenSize+sha256.Size)
	b = appendToken(append(b, k.id[:]...), t)
	k.signed(b[len(k.id):], func(sum []byte) { b = append(b, sum...) })
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Verify implements bridge.Keyring.
func (r *keyring) Verify(ctx context.Context, value string) (*bridge.Token, error) {
	if len(value) > maxToken {
		return nil, nil
	}
	for _, k := range r.known() {
		if t := k.verified.find(value); t != nil {
			return t, nil
		}
	}
	return r.verify(ctx, value)
}

// known returns the keys as far as they are in memory.
func (r *keyring) known() []*signKey {
	if r.fixed != nil {
		return r.fixed
	}
	if set := r.app.set.Load(); set != nil {
		return set.keys
	}
	return nil
}

// verify is Verify for a value that is not among those verified already.
func (r *keyring) verify(ctx context.Context, value string) (*bridge.Token, error) {
	b, err := strictBase64.DecodeString(value)
	if err != nil || len(b) < 4+sha256.Size {
		return nil, nil
	}
	id, payload, sig := [4]byte(b), b[4:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	keys := r.fixed
	if keys == nil {
		if keys, err = r.app.verifiers(ctx, id); err != nil {
			return nil, err
		}
	}
	for _, k := range keys {
		if k.id != id {
			continue
		}
		ok := false
		k.signed(payload, func(sum []byte) { ok = hmac.Equal(sig, sum) })
		if !ok {
			continue
		}
		t := parseToken(payload)
		if t != nil {
			k.verified.add(value, t)
		}
		return t, nil
	}
	return nil, nil
}

// Of the forms that decode to the same bytes, only the one that was issued is
// taken.
var strictBase64 = base64.RawURLEncoding.Strict()
