package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPagesSayWhatHelpSays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{
		"confctl.1": "confctl-verify(1)", "confctl-verify.1": "without-lb lb3",
		"depool.1": "too few healthy servers", "restart-service.1": "grace-period", "lbd-check-config.1": "pybal.conf",
	} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(strings.ReplaceAll(string(text), `\-`, "-"), want) {
			t.Errorf("%s does not say %q", page, want)
		}
	}
}
