package natsstore_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// TestSecrets proves that a store reaches a server over TLS with a password, that it
// checks the server's certificate, and that errors say what is wrong and do not show
// the password, those about the URL nothing of it.
func TestSecrets(t *testing.T) {
	t.Parallel()
	pool, certFile, keyFile := storekit.Certificate(t)
	s := ownServer(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q }", certFile, keyFile), "authorization { user: app, password: hush }")
	at := func(scheme, host, password string) string {
		return fmt.Sprintf("%s://app:%s@%s", scheme, password, strings.Replace(s.Address(), "127.0.0.1", host, 1))
	}
	js, err := jetstream.New(connect(t, at("tls", "127.0.0.1", "hush"), nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	trusting, err := natsstore.New(storekit.Within(t), js)
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.Close()
	storekit.Put(t, trusting, "key", 0, "x")
	plain := ownServer(t, "authorization { user: app, password: hush }")
	storekit.Put(t, open(t, "nats://app:hush@"+plain.Address()), "key", 0, "x")

	storekit.Refuses(t, "hush", func(t *testing.T, url string) (*natsstore.Store, error) {
		return natsstore.Open(storekit.Within(t), url)
	}, map[string]struct{ URL, Want string }{
		"unknown authority": {at("tls", "127.0.0.1", "hush"), "unknown authority"},
		"another host":      {at("tls", "localhost", "hush"), "certificate"},
		"wrong password":    {"nats://app:hushhush@" + plain.Address(), "Authorization Violation"},
		"no TLS there":      {"tls://app:hush@" + plain.Address(), "secure connection not available"},
		"a parameter":       {at("nats", "127.0.0.1", "hush") + "?tls=hush", "its form is nats://"},
		"a bad port":        {"nats://app:hush@127.0.0.1:port", "its form is nats://"},
		"a bad escape":      {at("nats", "127.0.0.1", "hu%zzsh"), "its form is nats://"},
		"no scheme":         {"app:hush@127.0.0.1:4222", "its form is nats://"},
		"a typo in front":   {at("nast", "127.0.0.1", "hush"), "its form is nats://"},
		"a bad second one":  {"nats://app:hush@" + plain.Address() + ",hush", "its form is nats://"},
	})
}

// TestMissingRightsShowAtOnce proves that a user who may not do what a store does is
// refused when the store is opened, and that the right ones are enough.
func TestMissingRightsShowAtOnce(t *testing.T) {
	t.Parallel()
	rights := []string{"stay.>", "$JS.API.STREAM.INFO.stay", "$JS.API.STREAM.CREATE.stay", "$JS.API.DIRECT.GET.stay", "$JS.API.CONSUMER.CREATE.stay.>", "$JS.API.CONSUMER.DELETE.stay.*"}
	var users []string
	user := func(name string, rights []string) {
		users = append(users, fmt.Sprintf("{ user: %s, password: hush, permissions { publish: [%q], subscribe: \"_INBOX.>\" } }", name, strings.Join(rights, `", "`)))
	}
	without := map[string]int{"nowrite": 0, "nostream": 1, "noread": 3}
	user("web", rights)
	for name, i := range without {
		user(name, append(append([]string(nil), rights[:i]...), rights[i+1:]...))
	}
	s := ownServer(t, strings.ReplaceAll("authorization { users: ["+strings.Join(users, ", ")+"] }", `\"`, `"`))
	st := open(t, "nats://web:hush@"+s.Address())
	w := storekit.Watch(t, st)
	w.Want(t, "key", storekit.Put(t, st, "key", 0, "x"))
	if keys, err := st.List(storekit.Within(t), time.Now(), "", "", 10); err != nil || len(keys) != 1 {
		t.Errorf("%q, %v", keys, err)
	}
	for name := range without {
		st, err := natsstore.Open(storekit.Within(t), "nats://"+name+":hush@"+s.Address(), natsstore.Attempt(brisk))
		if err == nil {
			_ = st.Close()
			t.Errorf("%s is enough", name)
		} else if errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "lacks a right") || strings.Contains(err.Error(), "hush") {
			t.Error(err)
		}
	}
}
