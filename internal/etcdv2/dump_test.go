package etcdv2

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answer is what a server says of two nodes, an empty directory and a lock.
const answer = `{"action":"get","node":{"key":"/conftool","dir":true,"nodes":[
 {"key":"/conftool/v1","dir":true,"nodes":[
  {"key":"/conftool/v1/pools","dir":true,"nodes":[
   {"key":"/conftool/v1/pools/b","value":"{\"weight\": 1}","modifiedIndex":7,"createdIndex":5},
   {"key":"/conftool/v1/pools/a é","value":"","modifiedIndex":9,"createdIndex":9}
  ],"modifiedIndex":4,"createdIndex":4},
  {"key":"/conftool/v1/empty","dir":true,"modifiedIndex":4,"createdIndex":4},
  {"key":"/conftool/v1/lock","value":"{}","expiration":"2030-01-01T00:00:00Z","ttl":10,"modifiedIndex":4,"createdIndex":4}
 ],"modifiedIndex":4,"createdIndex":4}
],"modifiedIndex":4,"createdIndex":4}}
`

func value(key, v string) Node { return Node{Key: key, Value: v, HasValue: true} }

func TestReadDump(t *testing.T) {
	whole := []Node{{Key: "/conftool/v1/lock", Value: "{}", HasValue: true, Expires: true}, value("/conftool/v1/pools/a é", ""), value("/conftool/v1/pools/b", `{"weight": 1}`)}
	bare := strings.TrimSuffix(strings.TrimPrefix(answer, `{"action":"get","node":`), "}\n")
	tests := []struct {
		name, text string
		want       []Node
	}{
		{"answer", answer, whole},
		{"bare node", bare, whole},
		{"list of nodes", "[" + bare + `, {"key": "other", "value": "5"}]`, append(append([]Node{}, whole...), value("/other", "5"))},
		{"flat list", `[{"key":"/b","value":"1"},{"key":"/a","value":"2"}]`, []Node{value("/a", "2"), value("/b", "1")}},
		{"one key", `{"action":"get","node":{"key":"/a","value":"1"}}`, []Node{value("/a", "1")}},
		{"everything below the root", `{"action":"get","node":{"dir":true,"nodes":[{"key":"/a","value":"1"}]}}`, []Node{value("/a", "1")}},
		{"empty directory", `{"action":"get","node":{"key":"/a","dir":true}}`, nil},
		{"empty list", `[]`, nil},
		{"no dir beside nodes", `{"key":"/a","nodes":[{"key":"/a/b","value":"1"}]}`, []Node{value("/a/b", "1")}},
		{"deleted", `{"key":"/a","dir":true,"nodes":[{"key":"/a/b","modifiedIndex":3}]}`, []Node{{Key: "/a/b"}}},
		{"null value", `{"key":"/a","value":null}`, []Node{{Key: "/a"}}},
		{"members nobody asks for", `{"x":{"key":"/y","value":"z"},"key":"/a","value":"1","prevNode":{"key":"/a"}}`, []Node{value("/a", "1")}},
		{"escapes", `{"key":"/\u00e9\ud83d\ude42","value":"\u0000\"\\"}`, []Node{value("/é🙂", "\x00\"\\")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadDump(strings.NewReader(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Tree{Nodes: tt.want}, got); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadDumpRefuses(t *testing.T) {
	deep := strings.Repeat(`{"key":"/a","nodes":[`, 1000) + strings.Repeat(`]}`, 1000)
	tests := []struct{ name, text, want string }{
		{"nothing", "", "byte 0: cut off"},
		{"blanks", " \n", "cut off"},
		{"word", "true", "neither an answer"},
		{"string", `"x"`, "neither an answer"},
		{"empty object", "{}", "neither an answer"},
		{"other JSON", `{"items": []}`, "neither an answer"},
		{"HTML", "<html>", "byte 0: invalid character '<'"},
		{"trailing garbage", answer + "x", "something follows the JSON"},
		{"two answers", answer + answer, "something follows the JSON"},
		{"error", `{"errorCode":100,"message":"Key not found","cause":"/conftool","index":7}`, "error 100: Key not found (/conftool)"},
		{"unauthorized", `{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}`, "error 110: The request requires"},
		{"answer to a delete", `{"action":"delete","node":{"key":"/a","modifiedIndex":4},"prevNode":{"key":"/a","value":"1"}}`, `the answer to a "delete", not to a get`},
		{"answer to a watch", `{"action":"expire","node":{"key":"/a"}}`, `the answer to a "expire"`},
		{"number for a value", `{"key":"/a","value":5}`, "value: json: cannot unmarshal number"},
		{"object for a value", `{"key":"/a","value":{"pooled":"yes"}}`, "value: json: cannot unmarshal object"},
		{"list for a node", `{"action":"get","node":[]}`, "want a node, got ["},
		{"word among nodes", `{"key":"/a","nodes":["b"]}`, "want a node, got b"},
		{"null for nodes", `{"key":"/a","nodes":null}`, "want a list of nodes"},
		{"no key", `[{"value":"1"}]`, `key "": no key of a store`},
		{"no clean key", `[{"key":"/a/../b","value":"1"}]`, `key "/a/../b": no key of a store`},
		{"double slash", `[{"key":"/a//b","value":"1"}]`, "no key of a store"},
		{"key twice", `[{"key":"/a","value":"1"},{"key":"/a","value":"2"}]`, `key "/a" is there twice`},
		{"member twice", `[{"key":"/a","value":"1","value":"2"}]`, `"value" is there twice in one node`},
		{"nodes twice", `{"key":"/a","nodes":[{"key":"/a/b","value":"1"}],"nodes":[]}`, `"nodes" is there twice`},
		{"directory with a value", `[{"key":"/a","dir":true,"value":"1"}]`, "a directory with a value"},
		{"nested absurdly", deep, "nested more than 100 deep"},
		{"nested absurdly where nobody looks", `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, "exceeded max depth"},
		{"colon missing", `{"key" "/a"}`, "expected colon"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := ReadDump(strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if len(tree.Nodes) > 0 {
				t.Errorf("nodes beside an error: %v", tree.Nodes)
			}
		})
	}
}

// However short a dump is cut off, it is not taken for a smaller one.
func TestReadDumpNoticesEveryCut(t *testing.T) {
	text := strings.TrimSpace(answer)
	for n := range len(text) {
		if tree, err := ReadDump(strings.NewReader(text[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d bytes: %v, %v", n, tree, err)
		}
	}
}

func TestErrorOfWhatIsNotThere(t *testing.T) {
	_, err := ReadDump(strings.NewReader(`{"errorCode":100,"message":"Key not found"}`))
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("%v is not ErrNotFound", err)
	}
	_, err = ReadDump(strings.NewReader(`{"errorCode":110,"message":"no"}`))
	if errors.Is(err, ErrNotFound) {
		t.Errorf("%v is ErrNotFound", err)
	}
}

// endless is an answer that never ends.
type endless struct{ at int }

func (e *endless) Read(p []byte) (int, error) {
	const head, node = `{"key":"/a","nodes":[`, `{"key":"/a/b","dir":true},`
	for i := range p {
		if e.at < len(head) {
			p[i] = head[e.at]
		} else {
			p[i] = node[(e.at-len(head))%len(node)]
		}
		e.at++
	}
	return len(p), nil
}

func TestReadDumpIsBounded(t *testing.T) {
	if _, err := readDump(new(endless), 1<<20); err == nil || !strings.Contains(err.Error(), "more than 1 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestReadDumpOfManyNodes(t *testing.T) {
	const n = 100_000
	var b strings.Builder
	b.WriteString(`{"action":"get","node":{"key":"/c","dir":true,"nodes":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"key":"/c/host%06d.example","value":"{\"weight\": 10, \"pooled\": \"yes\"}","modifiedIndex":%d,"createdIndex":%d}`, i, i, i)
	}
	b.WriteString(`]}}`)
	start := time.Now()
	tree, err := ReadDump(strings.NewReader(b.String()))
	if err != nil || len(tree.Nodes) != n {
		t.Fatalf("%d nodes, %v", len(tree.Nodes), err)
	}
	t.Logf("%d MiB in %s", b.Len()>>20, time.Since(start))
}

func FuzzReadDump(f *testing.F) {
	f.Add([]byte(answer))
	f.Add([]byte(`[{"key":"a","value":"\u00e9","ttl":1},{"nodes":[]}]`))
	f.Add([]byte(`{"errorCode":100,"message":"m","cause":"c"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := ReadDump(strings.NewReader(string(data)))
		if err != nil {
			if len(tree.Nodes) > 0 {
				t.Errorf("nodes beside an error")
			}
			return
		}
		for i, n := range tree.Nodes {
			if n.Key == "" || n.Key[0] != '/' || i > 0 && tree.Nodes[i-1].Key >= n.Key {
				t.Errorf("node %d: %q", i, n.Key)
			}
		}
	})
}
