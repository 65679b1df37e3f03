package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// workers is how many requests are under way at once.
const workers = 256

// pipe serves requests, one on each line, and answers them likewise, in any
// order. A request is "ID METHOD PATH COOKIE", an answer "ID STATUS COOKIE
// BODY"; "-" stands for no cookie, and in an answer for none that was set.
func pipe(h http.Handler, in io.Reader, out io.Writer) error {
	answers := make(chan []byte, workers)
	written := make(chan error, 1)
	go func() { written <- write(out, answers) }()
	requests := make(chan string, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for line := range requests {
				answers <- answer(h, line)
			}
		})
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		requests <- lines.Text()
	}
	close(requests)
	wg.Wait()
	close(answers)
	if err := <-written; err != nil {
		return err
	}
	return lines.Err()
}

// write sends answers, many at a time when there are many. It goes on without
// writing when nobody reads them.
func write(out io.Writer, answers <-chan []byte) (err error) {
	w := bufio.NewWriterSize(out, 64<<10)
	for a := range answers {
		if err != nil {
			continue
		}
		if _, err = w.Write(a); err == nil && len(answers) == 0 {
			err = w.Flush()
		}
	}
	return err
}

// answer serves one line.
func answer(h http.Handler, line string) []byte {
	parts := strings.Split(line, " ")
	if len(parts) != 4 {
		return fmt.Appendf(nil, "%s 0 - not a request\n", parts[0])
	}
	r, err := http.NewRequest(parts[1], parts[2], http.NoBody)
	if err != nil {
		return fmt.Appendf(nil, "%s 0 - %q\n", parts[0], err)
	}
	if parts[3] != "-" {
		r.Header.Set("Cookie", "stay="+parts[3])
	}
	w := &response{header: http.Header{}}
	h.ServeHTTP(w, r)
	cookie := "-"
	if line := w.header.Get("Set-Cookie"); line != "" {
		value, _, _ := strings.Cut(line, ";")
		cookie = strings.TrimPrefix(value, "stay=")
	}
	body := bytes.ReplaceAll(w.body.Bytes(), []byte("\n"), []byte(" "))
	return fmt.Appendf(nil, "%s %d %s %s\n", parts[0], w.status, cookie, body)
}

// A response is what a handler writes.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements io.Writer.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
