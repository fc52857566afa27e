package script_test

import (
	"github.com/rogpeppe/go-internal/testscript"
)

type peer struct{}

func (w *world) peerDo(ts *testscript.TestScript, neg bool, args []string) {}
func (p *peer) close()                                                     {}
