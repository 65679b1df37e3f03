package pgstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // what clients trust
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert, key, filepath.Join(t.TempDir(), "root.pem")}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// sign makes a key and a certificate for a server at 127.0.0.1.
func (a *authority) sign(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	writePEM(t, keyFile, "PRIVATE KEY", der)
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secure makes the server accept the role app with the password "hush", over TLS
// only.
func (s *server) secure(t *testing.T, a *authority) {
	t.Helper()
	cert, key := filepath.Join(s.Data(), "server.crt"), filepath.Join(s.Data(), "server.key")
	a.sign(t, cert, key)
	if err := errors.Join(s.Own(cert), s.Own(key)); err != nil {
		t.Fatal(err)
	}
	hba := "hostssl all app 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(s.Data(), "pg_hba.conf"), []byte(hba), 0); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN PASSWORD 'hush'; CREATE SCHEMA app AUTHORIZATION app")
	s.exec(t, "ALTER SYSTEM SET ssl = on")
	s.exec(t, "SELECT pg_reload_conf()")
	s.until(t, "current_setting('ssl') = 'on' AND EXISTS (SELECT FROM pg_hba_file_rules WHERE type = 'hostssl')")
}

// TestTLS proves that a store checks the certificate of its server as its URL
// asks, and that errors say what is wrong and do not show the password.
func TestTLS(t *testing.T) {
	s := ownServer(t)
	ca := newAuthority(t)
	s.secure(t, ca)
	at := func(host, password, database string, parameters ...string) string {
		query := url.Values{}
		for i := 0; i < len(parameters); i += 2 {
			query.Set(parameters[i], parameters[i+1])
		}
		return fmt.Sprintf("postgres://app:%s@%s:%d/%s?%s", password, host, s.Port(), database, query.Encode())
	}
	full := []string{"sslmode", "verify-full", "sslrootcert", ca.file}

	st := open(t, at("127.0.0.1", "hush", "postgres", append(full, "application_name", "tls")...))
	put(t, st, "key", 0, "x")
	if n := query[int](t, s, "SELECT count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name = 'tls' AND s.ssl"); n == 0 {
		t.Error("no connection with TLS")
	}

	for name, c := range map[string]struct{ url, want string }{
		"another authority": {at("127.0.0.1", "hush", "postgres", "sslmode", "verify-full", "sslrootcert", newAuthority(t).file), "signed by unknown authority"},
		"another host":      {at("localhost", "hush", "postgres", full...), "wanted to match localhost"},
		"no TLS":            {at("127.0.0.1", "hush", "postgres", "sslmode", "disable"), "no encryption"},
		"wrong password":    {at("127.0.0.1", "hushhush", "postgres", full...), `password authentication failed for user "app"`},
		"no such database":  {at("127.0.0.1", "hush", "postgre", full...), `database "postgre" does not exist`},
		"no such parameter": {at("127.0.0.1", "hush", "postgres", append(full, "sslmod", "x")...), `unrecognized configuration parameter "sslmod"`},
		"no such mode":      {at("127.0.0.1", "hush", "postgres", "sslmode", "verify-ful"), "sslmode"},
		"no such file":      {at("127.0.0.1", "hush", "postgres", "sslmode", "verify-full", "sslrootcert", ca.file+"x"), "CA file"},
		"a typo in front":   {"postgre" + strings.TrimPrefix(at("127.0.0.1", "hush", "postgres", full...), "postgres"), "its form is postgres://user:password@host"},
		"no scheme":         {strings.TrimPrefix(at("127.0.0.1", "hush", "postgres", full...), "postgres://"), "its form is postgres://user:password@host"},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := pgstore.Open(within(t), c.url)
			if err == nil {
				_ = st.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q in it", err, c.want)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				if strings.Contains(err.Error(), "hush") {
					t.Errorf("%v", err)
				}
			}
		})
	}
	if log := s.Log().String(); strings.Contains(log, "hush") {
		// Statements that fail are logged, and none has the password.
		t.Errorf("the server has logged the password: %s", log)
	}
}

// TestPasswordChanges proves that a store whose password is no longer good says
// so without showing it, and works again when it is.
func TestPasswordChanges(t *testing.T) {
	s := ownServer(t)
	ca := newAuthority(t)
	s.secure(t, ca)
	st := open(t, fmt.Sprintf("postgres://app:hush@127.0.0.1:%d/postgres?sslmode=verify-full&sslrootcert=%s", s.Port(), url.QueryEscape(ca.file)))
	rev := put(t, st, "key", 0, "x")
	s.exec(t, "ALTER ROLE app PASSWORD 'other'")
	s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
	ctx := within(t)
	for {
		r := one(st, store.Write{Key: "key", Base: rev})
		if r.Outcome == store.Rejected {
			if text := r.Err.Error(); strings.Contains(text, "hush") || !strings.Contains(text, "password authentication failed") {
				t.Error(text)
			}
			break
		}
		if r.Outcome != store.Unknown || ctx.Err() != nil { // the connection that was ended
			t.Fatalf("%v: %v", r.Outcome, r.Err)
		}
	}
	s.exec(t, "ALTER ROLE app PASSWORD 'hush'")
	put(t, st, "key", rev, "y")
}
