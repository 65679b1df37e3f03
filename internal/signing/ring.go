package signing

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"slices"
	"sync"
	"time"
)

// A signKey signs tokens with HMAC-SHA256. Tokens name it by the first bytes
// of a hash of the secret.
type signKey struct {
	id       [4]byte
	macs     sync.Pool // of *mac
	verified cache
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

// A signature in one domain is not valid in the other.
var (
	tokenDomain = []byte("stay session\x00")
	labelDomain = []byte("stay label\x00")
)

// signed calls use with the signature of payload, which is valid during the call
// only.
func (k *signKey) signed(domain, payload []byte, use func(sum []byte)) {
	m := k.macs.Get().(*mac)
	m.Reset()
	m.Write(domain)
	m.Write(payload)
	m.sum = m.Sum(m.sum[:0])
	use(m.sum)
	k.macs.Put(m)
}

// A Ring signs and verifies tokens. A token that is signed is the base64url form
// of the key's id, the payload and the signature.
type Ring struct {
	fixed []*signKey // as the options name them
	keys  *Keys      // else as the store has them
}

const minSecret = 32

// Ring returns what signs with secrets[0] and verifies with any of the secrets.
// Without secrets it signs and verifies with the keys in the store. It panics on
// a secret shorter than 32 bytes.
func (s *Keys) Ring(secrets [][]byte) *Ring {
	r := &Ring{keys: s}
	for i, s := range secrets {
		if len(s) < minSecret {
			panic(fmt.Sprintf("stay: signing key %d has %d bytes: use at least %d random ones", i, len(s), minSecret))
		}
		r.fixed = append(r.fixed, newSignKey(append([]byte(nil), s...)))
	}
	return r
}

// signer returns the key that signs now.
func (r *Ring) signer(ctx context.Context) (*signKey, error) {
	if r.fixed != nil {
		return r.fixed[0], nil
	}
	return r.keys.signer(ctx)
}

// Sign returns the token with a signature, in characters that the value of a
// cookie may have.
func (r *Ring) Sign(ctx context.Context, t *Token) (string, error) {
	k, err := r.signer(ctx)
	if err != nil {
		return "", err
	}
	b := appendToken(append(make([]byte, 0, 64), k.id[:]...), t)
	k.signed(tokenDomain, b[len(k.id):], func(sum []byte) { b = append(b, sum[:sumSize(shortFormat)]...) })
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Verify returns what the value of a cookie says, over or not; it must not be
// changed. It is nil for every value that the keys did not sign. An error means
// that the keys could not be read.
func (r *Ring) Verify(ctx context.Context, value string) (*Token, error) {
	if len(value) > maxToken {
		return nil, nil
	}
	for _, k := range r.known() {
		if t := k.verified.find(value); t != nil {
			return t, nil
		}
	}
	return r.verifyNew(ctx, value)
}

// known returns the keys as far as they are in memory.
func (r *Ring) known() []*signKey {
	if r.fixed != nil {
		return r.fixed
	}
	if set := r.keys.set.Load(); set != nil {
		return set.keys
	}
	return nil
}

// verifyNew is Verify for a value that is not among those verified already.
func (r *Ring) verifyNew(ctx context.Context, value string) (*Token, error) {
	s, ok := split(value)
	if !ok {
		return nil, nil
	}
	keys := r.fixed
	if keys == nil {
		var err error
		if keys, err = r.keys.verifiers(ctx, s.key); err != nil {
			return nil, err
		}
	}
	for _, k := range keys {
		if k.id != s.key {
			continue
		}
		ok := false
		k.signed(tokenDomain, s.payload, func(sum []byte) { ok = hmac.Equal(s.sum, sum[:len(s.sum)]) })
		if !ok {
			continue
		}
		t := parseToken(s.payload)
		if t != nil {
			k.verified.add(value, t)
		}
		return t, nil
	}
	return nil, nil
}

// Outlast keeps what is signed from now on valid for d, although keys rotate.
// If the options name the keys, that is up to the program that sets them.
func (r *Ring) Outlast(ctx context.Context, d time.Duration) error {
	if r.fixed != nil {
		return nil
	}
	return r.keys.outlast(ctx, d)
}

// labelSize is how many bytes of a signature are a label.
const labelSize = 12

// Label returns a short text that names the given text, and does not reveal it
// to anyone without the keys. A domain, which has no zero byte, separates texts
// of different meanings: a label of one domain is not valid in another.
func (r *Ring) Label(ctx context.Context, domain, text string) (string, error) {
	k, err := r.signer(ctx)
	if err != nil {
		return "", err
	}
	return k.label(domain, text), nil
}

// Labelled reports whether a label belongs to the text in the domain, by any of
// the keys.
func (r *Ring) Labelled(ctx context.Context, label, domain, text string) (bool, error) {
	keys := r.fixed
	if keys == nil {
		set, err := r.keys.get(ctx)
		if err != nil {
			return false, err
		}
		keys = set.keys
	}
	for _, k := range keys {
		if hmac.Equal([]byte(k.label(domain, text)), []byte(label)) {
			return true, nil
		}
	}
	return false, nil
}

func (k *signKey) label(domain, text string) (label string) {
	k.signed(labelDomain, []byte(domain+"\x00"+text), func(sum []byte) { label = base64.RawURLEncoding.EncodeToString(sum[:labelSize]) })
	return label
}

// Foreign reports whether the value of a cookie has the form of a token that is
// good at now, and names a key that is not among those in memory: Verify does
// not accept it, and another program may have signed it.
func (r *Ring) Foreign(value string, now time.Time) bool {
	s, ok := split(value)
	if !ok {
		return false
	}
	t := parseToken(s.payload)
	return t != nil && t.IdleEnd.After(now) && !slices.ContainsFunc(r.known(), func(k *signKey) bool { return k.id == s.key })
}
