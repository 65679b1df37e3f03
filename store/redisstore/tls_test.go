package redisstore_test

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

	"github.com/stay-go/stay/internal/process"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// certificate writes a certificate for 127.0.0.1, which is its own authority, and
// returns it with the names of the files.
func certificate(t *testing.T) (cert *x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a Redis server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert, write("cert", "CERTIFICATE", der), write("key", "PRIVATE KEY", private)
}

// TestTLS proves that a store checks the certificate of its server unless its URL
// says not to, and that errors say what is wrong and do not show the password.
func TestTLS(t *testing.T) {
	cert, certFile, keyFile := certificate(t)
	port, err := process.FreePorts(1)
	check(t, err)
	s := ownServer(t, fmt.Sprintf("tls-port %d", port), "tls-cert-file "+certFile, "tls-key-file "+keyFile, "tls-auth-clients no")
	ask(t, s, "ACL", "SETUSER", "app", "on", ">hush", "~*", "&*", "+@all")
	at := func(scheme, host, password, rest string) string {
		return fmt.Sprintf("%s://app:%s@%s:%d%s", scheme, password, host, port, rest)
	}
	o, err := redisstore.Parse(at("rediss", "127.0.0.1", "hush", ""))
	if err != nil {
		t.Fatal(err)
	}
	o.TLSConfig.RootCAs = x509.NewCertPool()
	o.TLSConfig.RootCAs.AddCert(cert)
	trusting, err := redisstore.OpenWith(within(t), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.Close()
	rev := put(t, trusting, "key", 0, "x")
	w := watch(t, trusting)
	w.want(t, "key", put(t, open(t, at("rediss", "127.0.0.1", "hush", "?skip_verify=true")), "key", rev, "y"), 1)

	for name, c := range map[string]struct{ url, want string }{
		"unknown authority": {at("rediss", "127.0.0.1", "hush", ""), "unknown authority"},
		"another host":      {at("rediss", "localhost", "hush", ""), "certificate"},
		"no TLS":            {at("redis", "127.0.0.1", "hush", "?dial_timeout=2s"), ""},
		"wrong password":    {at("rediss", "127.0.0.1", "hushhush", "?skip_verify=true"), "WRONGPASS"},
		"no such parameter": {at("rediss", "127.0.0.1", "hush", "?skip_verfy=true"), "a parameter that does not exist"},
		"no such database":  {at("rediss", "127.0.0.1", "hush", "/99?skip_verify=true"), "out of range"},
		"a bad port":        {strings.Replace(at("rediss", "127.0.0.1", "hush", ""), fmt.Sprint(port), "port", 1), "its form is redis://"},
		"a bad escape":      {at("rediss", "127.0.0.1", "hu%zzsh", ""), "its form is redis://"},
		"no scheme":         {strings.TrimPrefix(at("rediss", "127.0.0.1", "hush", ""), "rediss://"), "its form is redis://"},
		"a typo in front":   {at("reds", "127.0.0.1", "hush", ""), "its form is redis://"},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := redisstore.Open(within(t), c.url)
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
		t.Errorf("the server has logged the password: %s", log)
	}
}

// TestPasswordChanges proves that a store whose password is no longer good says so
// without showing it, and works again when it is.
func TestPasswordChanges(t *testing.T) {
	s := ownServer(t)
	ask(t, s, "ACL", "SETUSER", "app", "on", ">hush", "~*", "&*", "+@all")
	st := open(t, as(s, "app", "hush"))
	rev := put(t, st, "key", 0, "x")
	ask(t, s, "ACL", "SETUSER", "app", "resetpass", ">other")
	ask(t, s, "CLIENT", "KILL", "USER", "app")
	r := one(st, store.Write{Key: "key", Base: rev})
	if r.Outcome != store.Rejected {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	if text := r.Err.Error(); strings.Contains(text, "hush") || !strings.Contains(text, "WRONGPASS") {
		t.Error(text)
	}
	ask(t, s, "ACL", "SETUSER", "app", "resetpass", ">hush")
	put(t, st, "key", rev, "y")
}

// TestSocket proves that a store can reach its server over a Unix socket.
func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "r") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ownServer(t, "unixsocket "+socket)
	st := open(t, (&url.URL{Scheme: "unix", Path: socket}).String())
	put(t, st, "key", 0, "x")
}
