package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// percentage is a flag's share of a whole: "10%" or "10".
type percentage float64

// String is the share as a flag takes it.
func (p percentage) String() string { return strconv.FormatFloat(float64(p), 'g', -1, 64) + "%" }

// Set reads the share.
func (p *percentage) Set(text string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("%q is no share: want 0%% to 100%%", text)
	}
	*p = percentage(n)
	return nil
}

// Type is what help calls it.
func (p percentage) Type() string { return "share" }

// exceeded tells whether n of all are more than the share.
func (p percentage) exceeded(n, all int) bool { return float64(n)*100 > float64(p)*float64(all) }
