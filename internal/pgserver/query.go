package pgserver

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// URL names the database. parameters are names and values in turn, such as
// search_path and a schema.
func (s *Server) URL(parameters ...string) string { return s.URLBy(s.Address(), parameters...) }

// URLBy names the database as it is reached by way of other addresses, such as
// that of a proxy, or of a server and its standby. Commas separate them.
func (s *Server) URLBy(addresses string, parameters ...string) string {
	return urlOf(addresses, "postgres", parameters)
}

func urlOf(addresses, database string, parameters []string) string {
	query := url.Values{"sslmode": {"disable"}}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	return "postgres://postgres@" + addresses + "/" + database + "?" + query.Encode()
}

// NewDatabase makes a database with a name of small letters, and returns its URL.
func (s *Server) NewDatabase(name string, parameters ...string) (string, error) {
	if err := s.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	return urlOf(s.Address(), name, parameters), nil
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(ctx context.Context, statement string) error {
	_, err := s.Ask(ctx, statement)
	return err
}

// Ask reads one text as the superuser. It asks through psql, so that whoever
// imports this package needs no driver.
func (s *Server) Ask(ctx context.Context, query string) (string, error) {
	text, err := s.run(ctx, "psql", "-d", s.URL("connect_timeout", "30"), "-X", "-A", "-t", "-q", "-c", query)
	return strings.TrimSuffix(text, "\n"), err
}

// Until asks the server again and again, as the superuser, until a condition
// holds.
func (s *Server) Until(ctx context.Context, condition string) error {
	for {
		holds, err := s.Ask(ctx, "SELECT pg_sleep(0.02)::text = '' AND "+condition)
		if err != nil {
			return fmt.Errorf("%s: %w", condition, err)
		}
		if holds == "t" {
			return nil
		}
	}
}
