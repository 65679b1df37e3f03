package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/stay-go/stay"
)

// A kind is a format of a body.
type kind uint8

const (
	kindOther kind = iota // also if there is no content type
	kindJSON
	kindForm
	kindMultipart
)

// mediaType returns the kind of the body of r and the parameters of its
// content type.
func mediaType(r *http.Request) (kind, map[string]string, error) {
	header := first(r.Header, "Content-Type")
	switch header {
	case "":
		return kindOther, nil, nil
	case "application/json":
		return kindJSON, nil, nil
	case "application/x-www-form-urlencoded":
		return kindForm, nil, nil
	}
	name, params, err := mime.ParseMediaType(header)
	if err != nil {
		return kindOther, nil, malformed("the content type cannot be parsed", err)
	}
	switch {
	case name == "application/json" || strings.HasSuffix(name, "+json"):
		return kindJSON, params, nil
	case name == "application/x-www-form-urlencoded":
		return kindForm, params, nil
	case name == "multipart/form-data" && params["boundary"] != "":
		return kindMultipart, params, nil
	}
	return kindOther, nil, nil
}

// A bodyReader reads a body that has been read completely, and keeps it, so
// that it need not be read from the client again.
type bodyReader struct {
	bytes.Reader
	data []byte
}

// Close does nothing: the server closes what the body was read from.
func (*bodyReader) Close() error { return nil }

// reopen returns a reader that reads a body from its beginning.
func reopen(data []byte) io.ReadCloser {
	if len(data) == 0 {
		return http.NoBody
	}
	b := &bodyReader{data: data}
	b.Reset(data)
	return b
}

// grow is how many bytes are allocated for a body only because the client
// announced them.
const grow = 16 << 10

// readBody returns the whole body of r, of which nothing may have been read
// before. It does not replace r.Body.
func readBody(s *settings, r *http.Request) ([]byte, error) {
	if b, ok := r.Body.(*bodyReader); ok {
		return b.data, nil
	}
	// What others have parsed of it can no longer be read, but counts.
	if parsedLength(r) > s.maxBody {
		return nil, tooLong(s.maxBody, nil)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > s.maxBody {
		return nil, tooLong(s.maxBody, nil)
	}
	// One byte more than announced, so that the last read finds the end.
	data := make([]byte, 0, max(bytes.MinRead, min(r.ContentLength, grow)+1))
	for {
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > s.maxBody {
			return nil, tooLong(s.maxBody, nil)
		}
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			if long := (*http.MaxBytesError)(nil); errors.As(err, &long) {
				return nil, tooLong(long.Limit, err)
			}
			return nil, malformed("the body breaks off", err)
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

func tooLong(limit int64, cause error) error {
	return &stay.Error{
		Code:    stay.ErrTooLarge,
		Message: fmt.Sprintf("the body is longer than %d bytes", limit),
		Err:     cause,
	}
}

func malformed(message string, cause error) error {
	return &stay.Error{Code: stay.ErrMalformed, Message: message, Err: cause}
}
