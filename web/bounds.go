package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
)

// A bound limits what the body of a request may cost while a function of the
// program runs: it stops reading after Options.MaxBody, and removes the files
// that parsing has made. No other code does: net/http cleans up the request
// that it made itself, and the function often has a copy of that request.
type bound struct {
	request *http.Request
	before  *multipart.Form // parsed by other code, which cleans it up
	limited *limitedBody    // nil: there is nothing to read
}

// bound limits the body of r until the method end is called. A body that has
// been read completely has a limit already.
func (s *settings) bound(r *http.Request) bound {
	b := bound{request: r, before: r.MultipartForm}
	if r.Body == nil || r.Body == http.NoBody {
		return b
	}
	if _, whole := r.Body.(*bodyReader); whole {
		return b
	}
	b.limited = &limitedBody{body: r.Body, limit: s.maxBody, left: s.maxBody}
	if r.ContentLength > s.maxBody {
		b.limited.left = -1
	}
	r.Body = b.limited
	return b
}

// end removes the limit, and the files that parsing has made.
func (b *bound) end() {
	removeFiles(b.request, b.before)
	if b.limited != nil && b.request.Body == b.limited {
		b.request.Body = b.limited.body
	}
}

// err returns err, or the error of the limit if it was reached: then the
// function has not seen the whole body, and its own error does not count.
// r.FormValue, for example, reports no error.
func (b *bound) err(err error) error {
	if b.limited == nil || !b.limited.over {
		return err
	}
	return tooLong(b.limited.limit, err)
}

// announced returns an error if the client announces a body of r that is too
// long. Nothing may have been read of the body before.
func (s *settings) announced(r *http.Request) error {
	if r.ContentLength <= s.maxBody || r.Body == nil || r.Body == http.NoBody ||
		r.MultipartForm != nil || len(r.PostForm) > 0 {
		return nil
	}
	return tooLong(s.maxBody, nil)
}

// A limitedBody is a body that cannot be read beyond its limit. Its error is
// that of http.MaxBytesReader, which itself does not record that the limit was
// reached.
type limitedBody struct {
	body  io.ReadCloser
	limit int64
	left  int64 // below zero: the body is too long
	over  bool  // a caller has tried to read more
}

// Read implements io.Reader.
func (l *limitedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.left < 0 {
		l.over = true
		return 0, &http.MaxBytesError{Limit: l.limit}
	}
	if int64(len(p))-1 > l.left {
		p = p[:l.left+1] // one byte more tells whether there is more
	}
	n, err := l.body.Read(p)
	if l.left -= int64(n); l.left >= 0 {
		return n, err
	}
	l.over = true
	return n - 1, &http.MaxBytesError{Limit: l.limit}
}

// Close implements io.Closer.
func (l *limitedBody) Close() error { return l.body.Close() }

// removeFiles removes the files of the form that was parsed into r after it had
// the form before.
func removeFiles(r *http.Request, before *multipart.Form) {
	if f := r.MultipartForm; f != nil && f != before {
		_ = f.RemoveAll()
	}
}

// handBack copies back to a request what a handler did to its copy: the route,
// for logs, with its path values, and forms, whose files are removed. The
// result is as if the request itself had been passed on. It writes only what
// has changed, because others may read the request.
func handBack(from, to *http.Request) {
	removeFiles(from, to.MultipartForm)
	if from.Pattern != to.Pattern {
		to.Pattern = from.Pattern
		handBackPathValues(from, to)
	}
	if to.Form == nil && from.Form != nil {
		to.Form = from.Form
	}
	if to.PostForm == nil && from.PostForm != nil {
		to.PostForm = from.PostForm
	}
	if to.MultipartForm == nil && from.MultipartForm != nil {
		to.MultipartForm = from.MultipartForm
	}
}

// handBackPathValues writes to a request the values of the wildcards in its
// copy's route.
func handBackPathValues(from, to *http.Request) {
	for rest := from.Pattern; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			return
		}
		name := after
		if end := strings.IndexAny(after, ":.}"); end >= 0 { // chi has expressions
			name = after[:end]
		}
		if value := from.PathValue(name); value != to.PathValue(name) {
			to.SetPathValue(name, value)
		}
		rest = after
	}
}

// parsedLength returns the least length that the body of r can have, from the
// form that was parsed from it. Encoding only makes a form longer.
func parsedLength(r *http.Request) int64 {
	f := r.MultipartForm
	if f == nil {
		return valuesLength(r.PostForm)
	}
	n := valuesLength(f.Value)
	for name, files := range f.File {
		for _, file := range files {
			n += int64(len(name)+len(file.Filename)) + file.Size
		}
	}
	return n
}

// valuesLength returns the length of the shortest form with these values.
func valuesLength(values map[string][]string) int64 {
	n, pairs := int64(0), 0
	for name, list := range values {
		for _, value := range list {
			n += int64(len(name) + len(value))
			if value != "" || name == "" {
				n++ // =
			}
			pairs++
		}
	}
	return n + int64(max(pairs-1, 0)) // &
}

// asRequestError adds the code to errors of net/http that are about the request:
// of a body that has reached a limit of http.MaxBytesReader, and of a file that
// is not there.
func asRequestError(err error) error {
	if hasCode(err) {
		return err
	}
	if long := (*http.MaxBytesError)(nil); errors.As(err, &long) {
		return tooLong(long.Limit, err)
	}
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) || errors.Is(err, http.ErrMissingBoundary) {
		return malformed("a file is missing: send it with the form, as multipart/form-data", err)
	}
	return err
}
