// Package systemd restarts units: over D-Bus, or through a program that does.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// UnitName returns the unit a person means: "nginx" is "nginx.service", a name
// with the suffix of a unit type stays as it is.
func UnitName(name string) string {
	for _, suffix := range []string{
		".service", ".socket", ".target", ".timer", ".path", ".slice",
		".scope", ".mount", ".automount", ".swap", ".device",
	} {
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return name + ".service"
}

// Bus restarts units over the system's D-Bus.
type Bus struct{}

// alivePeriod is how often a wait for a job makes sure that the bus, which may
// be among the things restarted, is still there.
const alivePeriod = time.Second

// Restart restarts a unit and waits for systemd to say how that ended. Any end
// but "done" is an error.
func (Bus) Restart(ctx context.Context, unit string) error {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return fmt.Errorf("restart %s: reach systemd over D-Bus: %w", unit, err)
	}
	defer conn.Close()
	result := make(chan string, 1)
	if _, err := conn.RestartUnitContext(ctx, unit, "replace", result); err != nil {
		return fmt.Errorf("restart %s: %w", unit, err)
	}
	end, err := wait(ctx, result, conn.Connected)
	if err != nil {
		return fmt.Errorf("restart %s: %w", unit, err)
	}
	if end != "done" {
		return fmt.Errorf("restart %s: systemd says the job ended as %q", unit, end)
	}
	return nil
}

// wait returns the job's result, or an error when ctx or the connection ends
// first: the job itself goes on then.
func wait(ctx context.Context, result <-chan string, alive func() bool) (string, error) {
	tick := time.NewTicker(alivePeriod)
	defer tick.Stop()
	for {
		select {
		case end := <-result:
			return end, nil
		case <-ctx.Done():
			return "", ctx.Err()
		case <-tick.C:
			if !alive() {
				return "", errors.New("lost the D-Bus connection while waiting")
			}
		}
	}
}
