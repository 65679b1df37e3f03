package pgstore

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// errForm shows nothing of what was given: where its password begins and ends is
// not certain.
var errForm = errors.New("pgstore: the connection string cannot be parsed; its form is " +
	"postgres://user:password@host:5432/database?sslmode=verify-full, with %-escapes for special characters in the password")

// settingName is the form of the names of settings.
var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// parse parses a connection string. A URL with a typo at its beginning would count
// as "key=value" pairs, and be sent as the name of a setting to a server that
// nobody has named.
func parse(given string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(given)
	if err != nil {
		return nil, parseError(given, err)
	}
	for name := range cfg.ConnConfig.RuntimeParams {
		if !settingName.MatchString(name) {
			return nil, errForm
		}
	}
	return cfg, nil
}

// parseError returns the error for a connection string that pgx cannot parse,
// without its password. It does not wrap pgx's error, which has the whole string.
func parseError(given string, err error) error {
	u, bad := url.Parse(given)
	if bad != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return errForm
	}
	text := err.Error()
	query := u.Query()
	secrets := []string{query.Get("password"), query.Get("sslpassword")}
	if password, set := u.User.Password(); set {
		secrets = append(secrets, password, url.QueryEscape(password), url.PathEscape(password))
		_, raw, _ := strings.Cut(u.User.String(), ":")
		secrets = append(secrets, raw)
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "xxxxx")
		}
	}
	return errors.New("pgstore: " + text)
}
