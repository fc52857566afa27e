package cli

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar on a terminal; elsewhere it is nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress begins a bar for so many objects.
func newProgress(w io.Writer, all int) progress {
	if all == 0 || !isTerminal(w) {
		return progress{}
	}
	return progress{progressbar.NewOptions(all,
		progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(40), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("objects"),
	)}
}

// at moves the bar to so many objects.
func (p progress) at(done int) {
	if p.bar != nil {
		_ = p.bar.Set(done)
	}
}

// end takes the bar off the screen.
func (p progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
