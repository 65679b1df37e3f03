package bind

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
)

func tooManyValues() error {
	return &Error{Key: "values", Message: fmt.Sprintf("the form has more than %d values", MaxValues), TooLarge: true}
}

// ParseForm parses a form as net/url does, but refuses one with more than
// [MaxValues] values, because each value takes far more memory than its text.
func ParseForm(data []byte) (url.Values, error) {
	if bytes.Count(data, []byte{'&'}) >= MaxValues {
		return nil, tooManyValues()
	}
	return url.ParseQuery(string(data))
}

// ParseMultipart parses a form in parts, as it parses one by [ParseForm]. A
// part with an empty file name and no content is no value: browsers send it if
// no file was chosen. files reports whether there are files; their content is
// dropped.
func ParseMultipart(data []byte, boundary string) (values url.Values, files bool, err error) {
	values = url.Values{}
	parts := multipart.NewReader(bytes.NewReader(data), boundary)
	for count := 0; ; count++ {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // a form that breaks off is an error that wraps io.EOF
			return values, files, nil
		}
		if err != nil {
			return nil, false, err
		}
		if count == MaxValues {
			return nil, false, tooManyValues()
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, false, err
		}
		_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		fileName, isFile := params["filename"]
		switch name := part.FormName(); {
		case name == "":
		case !isFile:
			values.Add(name, string(content))
		case fileName != "" || len(content) > 0:
			files = true
		}
	}
}
