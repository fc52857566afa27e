package lbstatus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// What a client reads decides whether a server is restarted under traffic, so
// nothing is taken for said that was not: a missing "pooled" must not read as
// false.

// wireReport are the parts of a Report that must be there.
type wireReport struct {
	Pool    *string       `json:"pool"`
	Seen    *int64        `json:"seen"`
	Applied *int64        `json:"applied"`
	Members *[]wireMember `json:"members"`
}

type wireMember struct {
	Host    *string `json:"host"`
	Enabled *bool   `json:"enabled"`
	Up      *Up     `json:"up"`
	Pooled  *bool   `json:"pooled"`
}

// decodeReport reads a report about pool, or about any if that is empty. Members the reader does not know are
// passed over, for a newer balancer may say more.
func decodeReport(body []byte, pool string) (Report, error) {
	var wire wireReport
	if err := decodeJSON(body, &wire); err != nil {
		return Report{}, err
	}
	if err := wire.check(pool); err != nil {
		return Report{}, err
	}
	var r Report
	if err := decodeJSON(body, &r); err != nil {
		return Report{}, err
	}
	return r, nil
}

func (w wireReport) check(pool string) error {
	switch {
	case w.Pool == nil || w.Seen == nil || w.Applied == nil || w.Members == nil:
		return errors.New("report without pool, seen, applied or members")
	case pool != "" && *w.Pool != pool:
		return fmt.Errorf("report is about pool %q, asked for %q", *w.Pool, pool)
	case *w.Applied < 0 || *w.Applied > *w.Seen:
		return fmt.Errorf("report has applied %d but seen %d", *w.Applied, *w.Seen)
	}
	hosts := make(map[string]bool, len(*w.Members))
	for i, m := range *w.Members {
		if m.Host == nil || m.Enabled == nil || m.Up == nil || m.Pooled == nil {
			return fmt.Errorf("member %d without host, enabled, up or pooled", i)
		}
		if hosts[*m.Host] {
			return fmt.Errorf("member %q listed twice", *m.Host)
		}
		hosts[*m.Host] = true
		switch *m.Up {
		case UpYes, UpNo, UpUnknown:
		default:
			return fmt.Errorf("member %q has health %q", *m.Host, *m.Up)
		}
	}
	return nil
}

// decodeJSON reads exactly one JSON value.
func decodeJSON(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(v); err != nil {
		return err
	}
	return atEnd(dec)
}

func atEnd(dec *json.Decoder) error {
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more behind the JSON value")
	}
	return nil
}

// decodeServer reads one server in PyBal's dialect.
func decodeServer(body []byte) (ServerState, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	s, err := readServer(dec)
	if err != nil {
		return ServerState{}, err
	}
	return s, atEnd(dec)
}

// decodeServers reads a pool in PyBal's dialect: servers by host.
func decodeServers(body []byte) (map[string]ServerState, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	servers := map[string]ServerState{}
	err := readObject(dec, func(host string) error {
		s, err := readServer(dec)
		if err != nil {
			return fmt.Errorf("server %q: %w", host, err)
		}
		servers[host] = s
		return nil
	})
	if err != nil {
		return nil, err
	}
	return servers, atEnd(dec)
}

// readServer reads an object of exactly the four keys, each once, with real
// booleans and a whole number.
func readServer(dec *json.Decoder) (ServerState, error) {
	var pooled, enabled, up *bool
	var weight *int
	err := readObject(dec, func(key string) error {
		switch key {
		case "pooled":
			return dec.Decode(&pooled)
		case "enabled":
			return dec.Decode(&enabled)
		case "up":
			return dec.Decode(&up)
		case "weight":
			return dec.Decode(&weight)
		}
		return fmt.Errorf("unknown key %q", key)
	})
	switch {
	case err != nil:
		return ServerState{}, err
	case pooled == nil || enabled == nil || up == nil || weight == nil:
		return ServerState{}, errors.New("want pooled, enabled, up and weight, not null")
	}
	return ServerState{Pooled: *pooled, Enabled: *enabled, Up: *up, Weight: *weight}, nil
}

// readObject reads a JSON object; member is called behind each key to read the
// value. A key that stands twice is an error.
func readObject(dec *json.Decoder, member func(key string) error) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("want a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok || seen[key] {
			return fmt.Errorf("key %v: stands twice or is no string", t)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// serverWords makes the body of a refusal fit for one line: the JSON error if
// there is one. A page of HTML says nothing an operator could use.
func serverWords(body []byte) error {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return errors.New(oneLine(e.Error))
	}
	text := oneLine(string(body))
	if text == "" || strings.HasPrefix(text, "<") {
		return nil
	}
	return errors.New(text)
}

// oneLine quotes what a terminal could choke on and cuts what is too long.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '.'
		}
		return r
	}, s)
}
