package health

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"
)

// expectation is what an HTTP answer must be to pass.
type expectation struct {
	status  statuses
	headers []headerMatch
	body    *regexp.Regexp // nil: any
}

// headerMatch wants a header with a value that matches.
type headerMatch struct {
	name  string
	value *regexp.Regexp
}

// maxMatch is how much of a body is kept to be matched.
const maxMatch = 64 << 10

func newExpectation(o *options) expectation {
	var e expectation
	var err error
	if e.status, err = parseStatuses(o.get("http_status")); err != nil {
		o.fail("http_status", "%w", err)
	}
	for _, text := range o.get("header") {
		name, pattern, ok := strings.Cut(text, ":")
		name = strings.TrimSpace(name)
		if !ok || !validHeader(name) {
			o.fail("header", "%q is not of the form NAME: REGEXP", text)
			continue
		}
		e.headers = append(e.headers, headerMatch{textproto.CanonicalMIMEHeaderKey(name), o.pattern("header", strings.TrimSpace(pattern))})
	}
	if text, ok := o.plain("body"); ok {
		e.body = o.pattern("body", text)
	}
	return e
}

// validHeader tells whether a name consists of what RFC 9110 calls a token.
func validHeader(name string) bool {
	return name != "" && strings.Trim(strings.ToLower(name), "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// pattern compiles a regular expression in Go's notation, which never takes
// more than linear time.
func (o *options) pattern(name, text string) *regexp.Regexp {
	re, err := regexp.Compile(text)
	if err != nil {
		o.fail(name, "%w", err)
	}
	return re
}

// check judges an answer. Its body is read up to its end or maxBody, whichever
// comes first, so that a body that breaks off fails.
func (e expectation) check(resp *http.Response) error {
	if !e.status.has(resp.StatusCode) {
		return errors.New(status(resp.StatusCode))
	}
	for _, h := range e.headers {
		if err := h.check(resp.Header); err != nil {
			return err
		}
	}
	if e.body != nil {
		return e.match(resp.Body)
	}
	return skip(resp.Body)
}

func (h headerMatch) check(header http.Header) error {
	values := header[h.name]
	if len(values) == 0 {
		return fmt.Errorf("no header %s", h.name)
	}
	for _, v := range values {
		if h.value.MatchString(v) {
			return nil
		}
	}
	return fmt.Errorf("header %s is %q", h.name, values[0])
}

// match looks for the pattern in the beginning of a body.
func (e expectation) match(body io.Reader) error {
	start, err := io.ReadAll(io.LimitReader(body, maxMatch))
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if err := skip(body); err != nil {
		return err
	}
	if !e.body.Match(start) {
		return errors.New("body does not match")
	}
	return nil
}

// skip reads a body and forgets it.
func skip(body io.Reader) error {
	if _, err := io.CopyN(io.Discard, body, maxBody); err != nil && err != io.EOF {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}
