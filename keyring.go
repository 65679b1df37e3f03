package stay

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/stay-go/stay/store"
)

// A signKey signs tokens with HMAC-SHA256. Tokens name it by the first bytes
// of a hash of the secret.
type signKey struct {
	id   [4]byte
	macs sync.Pool // of *mac
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
	maxToken  = 512 // bytes; ours have about 100
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

func (r *keyring) keys(ctx context.Context) ([]*signKey, error) {
	if r.fixed != nil {
		return r.fixed, nil
	}
	return r.app.get(ctx)
}

// Sign implements bridge.Keyring.
func (r *keyring) Sign(ctx context.Context, payload []byte) (string, error) {
	keys, err := r.keys(ctx)
	if err != nil {
		return "", err
	}
	k := keys[0]
	b := make([]byte, 0, len(k.id)+len(payload)+sha256.Size)
	b = append(append(b, k.id[:]...), payload...)
	k.signed(payload, func(sum []byte) { b = append(b, sum...) })
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Verify implements bridge.Keyring.
func (r *keyring) Verify(ctx context.Context, token string) (payload []byte, ok bool, err error) {
	if len(token) > maxToken {
		return nil, false, nil
	}
	b, err := strictBase64.DecodeString(token)
	if err != nil || len(b) < 4+sha256.Size {
		return nil, false, nil
	}
	keys, err := r.keys(ctx)
	if err != nil {
		return nil, false, err
	}
	id, payload, sig := [4]byte(b), b[4:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	for _, k := range keys {
		if k.id == id {
			k.signed(payload, func(sum []byte) { ok = hmac.Equal(sig, sum) })
			if ok {
				return payload, true, nil
			}
		}
	}
	return nil, false, nil
}

// Of the forms that decode to the same bytes, only the one that was issued is
// taken.
var strictBase64 = base64.RawURLEncoding.Strict()

// keyStore keeps the signing keys in the App's store, in one record that is
// made when the first token is signed or read.
type keyStore struct {
	app     *App
	loaded  atomic.Pointer[[]*signKey]
	loading chan struct{} // holds a value while somebody loads
}

const keysRecord = "stay/keys"

type storedKeys struct {
	Keys []storedKey `json:"keys"` // the first one signs, all verify
}

type storedKey struct {
	Secret []byte `json:"secret"`
}

func (s *keyStore) init(app *App) {
	s.app, s.loading = app, make(chan struct{}, 1)
}

func (s *keyStore) get(ctx context.Context) ([]*signKey, error) {
	if keys := s.loaded.Load(); keys != nil {
		return *keys, nil
	}
	if !s.app.engine.Begin() {
		return nil, &Error{Code: ErrClosed, Phase: "sign"}
	}
	defer s.app.engine.End()
	ctx, cancel := context.WithTimeout(ctx, s.app.opts.MaxWait)
	defer cancel()
	select {
	case s.loading <- struct{}{}:
		defer func() { <-s.loading }()
	case <-ctx.Done():
		return nil, &Error{Code: ErrUnavailable, Phase: "sign", Message: "the signing keys cannot be read", Err: ctx.Err()}
	}
	if keys := s.loaded.Load(); keys != nil {
		return *keys, nil
	}
	keys, err := s.load(ctx)
	if err != nil {
		return nil, &Error{Code: CodeOf(err), Phase: "sign", Message: "the signing keys cannot be read", Err: err}
	}
	s.loaded.Store(&keys)
	return keys, nil
}

// load reads the record, and makes it if it is absent. Of several who make
// it, one succeeds and the others read what it made.
func (s *keyStore) load(ctx context.Context) ([]*signKey, error) {
	st, now := s.app.backend.Store(), s.app.opts.Clock()
	for range 3 {
		recs, err := st.Load(ctx, now, []store.Read{{Key: keysRecord}})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if recs[0].Revision != 0 {
			return parseKeys(recs[0].Value)
		}
		secret := make([]byte, minSecret)
		rand.Read(secret)
		value, err := json.Marshal(storedKeys{Keys: []storedKey{{Secret: secret}}})
		if err != nil {
			return nil, err
		}
		res := st.Commit(ctx, now, []store.Group{{{Op: store.Put, Key: keysRecord, Value: value, Version: 1}}})
		switch {
		case len(res) == 1 && res[0].Outcome == store.Applied:
			return parseKeys(value)
		case len(res) == 1 && res[0].Outcome == store.Rejected:
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, res[0].Err)
		}
		// A conflict or an unknown outcome: read what is there.
	}
	return nil, fmt.Errorf("%w: the store does not say what it holds", ErrUnavailable)
}

func parseKeys(value []byte) ([]*signKey, error) {
	var stored storedKeys
	if err := json.Unmarshal(value, &stored); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var keys []*signKey
	for _, k := range stored.Keys {
		if len(k.Secret) < minSecret {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, errors.New("a stored signing key is too short"))
		}
		keys = append(keys, newSignKey(k.Secret))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, errors.New("no signing key is stored"))
	}
	return keys, nil
}
