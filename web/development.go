package web

import "net/http"

// causes returns the lines about an error that only a developer sees: what a
// client must not learn about a failure of the program.
func (s *settings) causes(status int, err error) []string {
	if status < http.StatusInternalServerError || !s.development() {
		return nil
	}
	return []string{"Only with stay.Options.Development: " + err.Error()}
}

// warnCommitted tells a developer that a change was committed although the answer
// says that the request failed.
func (s *settings) warnCommitted(r *http.Request, module string, status int) {
	if status < http.StatusBadRequest || !s.development() {
		return
	}
	s.logger().Warn("stay: a function of web.Update answered with an error status and returned nil, so its change is committed: "+
		"return an error to undo the change, such as stay.ErrNotFound",
		"module", module, "status", status, "route", r.Pattern)
}

// inDevelopment returns r with a context that warns if the handler asks for a
// session although the request did not come through Sessions.
func (s *settings) inDevelopment(r *http.Request) *http.Request {
	if !s.development() || exchangeOf(r.Context()) != nil {
		return r
	}
	return r.WithContext(s.core.WithoutSession(r.Context()))
}
