package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConftoolArgs(t *testing.T) {
	w := &world{t: t, dir: t.TempDir()}
	file := w.file("args", "select\nname=a b\r\n\nget")
	tests := []struct{ name, args, want string }{
		{"in full", "--object-type node select x get", "--object-type node select x get"},
		{"short", "--obj node --sch=f --q select x get", "--object-type node --schema=f --quiet select x get"},
		{"fits several", "--o x --h select", "--object-type x --h select"},
		{"version and help", "--v pool --he", "--version pool --help"},
		{"fits none", "--nope select", "--nope select"},
		{"a value is no mode", "--obj pool --host select", "--object-type pool --host select"},
		{"a value is no flag", "--reason --q select", "--reason --q select"},
		{"of the mode", "--host pool --host cp1 --serv x", "--host pool --hostname cp1 --service x"},
		{"not the program's behind the mode", "select --obj x", "select --obj x"},
		{"behind two dashes", "pool -- --serv", "pool -- --serv"},
		{"file", "--q @" + file + " @", "--quiet|select|name=a b||get|@"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := conftoolArgs((&confctl{}).command(), strings.Fields(tt.args))
			if err != nil {
				t.Fatal(err)
			}
			sep := " "
			if strings.Contains(tt.want, "|") {
				sep = "|"
			}
			if diff := cmp.Diff(strings.Split(tt.want, sep), got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
	w.run(Confctl, "@/nonexistent").wants(t, ran{2, "", "confctl: read arguments /nonexistent: no such file or directory (see confctl --help)\n"})
}
