package pgstore_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// secure makes the server accept the role app with the password "hush", over TLS
// only, and returns the file with the authority of its certificate.
func (s *server) secure(t *testing.T) (trusted string) {
	t.Helper()
	_, trusted, keyFile := storekit.Certificate(t)
	for name, from := range map[string]string{"server.crt": trusted, "server.key": keyFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(s.Data(), name)
		if err := errors.Join(os.WriteFile(to, text, 0o600), s.Own(to)); err != nil {
			t.Fatal(err)
		}
	}
	hba := "hostssl all app 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(s.Data(), "pg_hba.conf"), []byte(hba), 0); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN PASSWORD 'hush'; CREATE SCHEMA app AUTHORIZATION app")
	s.exec(t, "ALTER SYSTEM SET ssl = on")
	s.exec(t, "SELECT pg_reload_conf()")
	s.until(t, "current_setting('ssl') = 'on' AND EXISTS (SELECT FROM pg_hba_file_rules WHERE type = 'hostssl')")
	return trusted
}

// TestTLS proves that a store checks the certificate of its server as its URL
// asks, and that errors say what is wrong and do not show the password.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	trusted := s.secure(t)
	at := func(host, password, database string, parameters ...string) string {
		query := url.Values{}
		for i := 0; i < len(parameters); i += 2 {
			query.Set(parameters[i], parameters[i+1])
		}
		return fmt.Sprintf("postgres://app:%s@%s:%d/%s?%s", password, host, s.Port(), database, query.Encode())
	}
	full := []string{"sslmode", "verify-full", "sslrootcert", trusted}
	_, other, _ := storekit.Certificate(t)

	st := open(t, at("127.0.0.1", "hush", "postgres", append(full, "application_name", "tls")...))
	storekit.Put(t, st, "key", 0, "x")
	if n := query[int](t, s, "SELECT count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name = 'tls' AND s.ssl"); n == 0 {
		t.Error("no connection with TLS")
	}

	storekit.Refuses(t, "hush", func(t *testing.T, url string) (*pgstore.Store, error) { return pgstore.Open(storekit.Within(t), url) }, map[string]struct{ URL, Want string }{
		"another authority": {at("127.0.0.1", "hush", "postgres", "sslmode", "verify-full", "sslrootcert", other), "signed by unknown authority"},
		"another host":      {at("localhost", "hush", "postgres", full...), "wanted to match localhost"},
		"no TLS":            {at("127.0.0.1", "hush", "postgres", "sslmode", "disable"), "no encryption"},
		"wrong password":    {at("127.0.0.1", "hushhush", "postgres", full...), `password authentication failed for user "app"`},
		"no such database":  {at("127.0.0.1", "hush", "postgre", full...), `database "postgre" does not exist`},
		"no such parameter": {at("127.0.0.1", "hush", "postgres", append(full, "sslmod", "x")...), `unrecognized configuration parameter "sslmod"`},
		"no such mode":      {at("127.0.0.1", "hush", "postgres", "sslmode", "verify-ful"), "sslmode"},
		"no such file":      {at("127.0.0.1", "hush", "postgres", "sslmode", "verify-full", "sslrootcert", trusted+"x"), "CA file"},
		"a typo in front":   {"postgre" + strings.TrimPrefix(at("127.0.0.1", "hush", "postgres", full...), "postgres"), "its form is postgres://user:password@host"},
		"no scheme":         {strings.TrimPrefix(at("127.0.0.1", "hush", "postgres", full...), "postgres://"), "its form is postgres://user:password@host"},
	})
	if log := s.Log().String(); strings.Contains(log, "hush") {
		// Statements that fail are logged, and none has the password.
		t.Errorf("the server has logged the password: %s", log)
	}
}

// TestPasswordChanges proves that a store whose password is no longer good says
// so without showing it, and works again when it is.
func TestPasswordChanges(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	trusted := s.secure(t)
	st := open(t, fmt.Sprintf("postgres://app:hush@127.0.0.1:%d/postgres?sslmode=verify-full&sslrootcert=%s", s.Port(), url.QueryEscape(trusted)))
	rev := storekit.Put(t, st, "key", 0, "x")
	s.exec(t, "ALTER ROLE app PASSWORD 'other'")
	s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
	ctx := storekit.Within(t)
	for {
		r := storekit.One(st, store.Write{Key: "key", Base: rev})
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
	storekit.Put(t, st, "key", rev, "y")
}
