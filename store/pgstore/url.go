package pgstore

import (
	"errors"
	"net/url"
	"strings"
)

// parseError returns the error for a connection string that pgx cannot parse,
// without its password. It does not wrap pgx's error, which has the whole string.
func parseError(given string, err error) error {
	u, bad := url.Parse(given)
	if bad != nil || u.Scheme == "" || u.Host == "" {
		// Where the password begins and ends is not certain, so nothing is shown.
		return errors.New("pgstore: the connection string cannot be parsed; its form is " +
			"postgres://user:password@host:5432/database?sslmode=verify-full, with %-escapes for special characters in the password")
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
