package redisstore

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/redis/rueidis"
)

// errForm shows nothing of what was given: where its password begins and ends is
// not certain.
var errForm = errors.New("redisstore: the URL cannot be parsed; its form is redis://user:password@host:6379/0, " +
	"with rediss for TLS and %-escapes for special characters in the password")

// parameters are those that a URL may have. rueidis would ignore a misspelt one.
var parameters = []string{"addr", "client_name", "db", "dial_timeout", "master_set", "skip_verify"}

var errParameter = fmt.Errorf("redisstore: the URL has a parameter that does not exist; there are %q", parameters)

func parse(given string) (rueidis.ClientOption, error) {
	u, err := url.Parse(given)
	if err != nil {
		return rueidis.ClientOption{}, errForm
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return rueidis.ClientOption{}, errForm
	}
	for name := range query {
		if !slices.Contains(parameters, name) {
			return rueidis.ClientOption{}, errParameter
		}
	}
	o, err := rueidis.ParseURL(given)
	if err != nil || u.Opaque != "" || u.Fragment != "" || u.Host == "" && u.Scheme != "unix" {
		return rueidis.ClientOption{}, errForm
	}
	return o, nil
}
