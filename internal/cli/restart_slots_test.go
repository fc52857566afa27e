package cli

import (
	"os"
	"testing"

	"github.com/sluice-lb/sluice/pkg/state"
)

func TestShareOfHosts(t *testing.T) {
	for _, tt := range []struct {
		share       string
		hosts, want int
	}{{"29%", 100, 29}, {"10%", 30, 3}, {"10%", 39, 3}, {"1%", 5, 1}, {"100%", 7, 7}, {"3", 100, 3}} {
		var m atMostHosts
		if err := m.Set(tt.share); err != nil || m.of(tt.hosts) != tt.want {
			t.Errorf("%s of %d is %d, want %d (%v)", tt.share, tt.hosts, m.of(tt.hosts), tt.want, err)
		}
	}
}

// While another host of the pool restarts, only as many others do as are
// allowed to; whoever waits too long has written nothing.
func TestRestartSlots(t *testing.T) {
	const restart = "--pools web --services nginx php.socket --lock-timeout 0 "
	const done = "restart nginx.service\nrestart php.socket\n"
	s := newRestartSite(t)
	claim := state.Claim{Name: "restart/dc1/web", Slots: 2, Audit: state.Audit{User: "root", Host: "h2", Command: []string{"restart-service"}}}
	_, release, err := s.store.Lock(t.Context(), claim, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args      string
		code      int
		restarted string
		text      string
	}{
		{"--max-concurrency 1", 2, "", "lock restart/dc1/web: held by root@h2 (restart-service) since 2"},
		{"--max-concurrency 50%", 2, "", "nothing was written"}, // of two hosts
		{"--max-concurrency 1%", 2, "", "nothing was written"},
		{"--max-concurrency 1 --lock-timeout 0.01", 2, "", "[INFO] pool web: at most 1 restart at a time; waiting for root@h2 (restart-service)"},
		{"--max-concurrency 1 --force", 2, "", "nothing was written"},
		{"--max-concurrency 2", 0, done, ""},
		{"--max-concurrency 100%", 0, done, ""},
		{"--max-concurrency 0", 0, done, ""},
		{"--max-concurrency 2 --force", 0, done, ""},
		{"--max-concurrency -1", 2, "", "neither a number of hosts nor a share"},
		{"--max-concurrency 101%", 2, "", "is no share"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			s.T = t
			_ = os.Remove(s.dir + "/restarted")
			s.want(s.run(t.Context(), restart+tt.args), tt.code, "yes", tt.restarted, tt.text)
		})
	}
	s.T = t
	release()
	_ = os.Remove(s.dir + "/restarted")
	s.want(s.run(t.Context(), restart+"--max-concurrency 1"), 0, "yes", done, "")
	if left, err := s.store.Locks(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("locks are left: %v, %v", left, err)
	}
	s.want(s.run(t.Context(), "--pools web --depool --max-concurrency 1"), 2, "yes", done, "--max-concurrency goes with --services")
	s.want(s.run(t.Context(), "--services nginx --force --max-concurrency 1"), 2, "yes", done, "--pools is missing")
}
