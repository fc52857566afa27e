package lbstatus

import (
	"strings"
	"testing"
)

func TestDecodeServerIsStrict(t *testing.T) {
	good := `{"weight": 3, "up": true, "enabled": false, "pooled": true}`
	if s, err := decodeServer([]byte(good)); err != nil || s != (ServerState{Pooled: true, Up: true, Weight: 3}) {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, bad := range []string{
		``, `null`, `[]`, `{}`, `"up"`, good + good, good[:len(good)-1],
		strings.Replace(good, "true", "null", 1),
		strings.Replace(good, "true", "1", 1),
		strings.Replace(good, "true", `"true"`, 1),
		strings.Replace(good, "3", "3.5", 1),
		strings.Replace(good, `"pooled"`, `"Pooled"`, 1),
		strings.Replace(good, `"weight"`, `"up"`, 1),
		strings.Replace(good, "}", `, "extra": 1}`, 1),
		strings.Replace(good, "}", `, "pooled": false}`, 1),
	} {
		if s, err := decodeServer([]byte(bad)); err == nil {
			t.Errorf("%s was taken as %+v", bad, s)
		}
	}
}

// FuzzDecode holds the decoders to two rules: no input panics, and whatever
// decodes says explicitly what it is taken to say.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"pooled": true, "enabled": true, "up": true, "weight": 10}`))
	f.Add([]byte(`{"h": {"pooled": true, "enabled": true, "up": true, "weight": 10}}`))
	f.Add([]byte(`{"pool":"p","seen":1,"applied":1,"members":[{"host":"h","enabled":false,"up":"up","pooled":false}]}`))
	f.Add([]byte(`{"pool":"p","applied":9,"members":[null]}`))
	f.Add([]byte(`{"a": {`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if s, err := decodeServer(body); err == nil {
			again, err := decodeServer([]byte(Member{
				Pooled: s.Pooled, Enabled: s.Enabled, Up: map[bool]Up{true: UpYes, false: UpNo}[s.Up], Weight: s.Weight,
			}.json()))
			if err != nil || again != s {
				t.Errorf("%+v reads back as %+v, %v", s, again, err)
			}
		}
		_, _ = decodeServers(body)
		r, err := decodeReport(body, "p")
		if err != nil {
			return
		}
		if r.Pool != "p" || r.Applied > r.Seen {
			t.Errorf("took %+v", r)
		}
		for _, m := range r.Members {
			if m.Up != UpYes && m.Up != UpNo && m.Up != UpUnknown {
				t.Errorf("took health %q", m.Up)
			}
		}
		_ = serverWords(body)
	})
}
