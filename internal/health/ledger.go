package health

import (
	"maps"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// Tally is what one monitor has found about one server so far. It starts over
// when the server's address or the service's monitors change.
type Tally struct {
	Service, Host string
	// Monitor is the kind, "ProxyFetch".
	Monitor string
	// State is what is believed after rise and fall.
	State lb.State
	// Ups and Downs count results, Rises and Falls the times State became up
	// and down, the first time included.
	Ups, Downs, Rises, Falls uint64
	// Took is how long the latest look of each sort took.
	Took map[Look]time.Duration
	// Failed and Lost count connections that did not open or that broke, by
	// PyBal's names for the reason ("ConnectionRefusedError").
	Failed, Lost map[string]uint64
}

// Look is a sort of look at a server. There are few of them for one monitor.
type Look struct {
	OK bool
	// URL is what a ProxyFetch asked for.
	URL string
	// Exit is the exit status of a RunCommand, "None" if a signal ended it or
	// it never ran.
	Exit string
}

// ledger holds the accounts of all servers under watch. Whoever serves
// metrics reads it at any time.
type ledger struct {
	mu       sync.Mutex
	accounts map[key][]*account
}

// open starts an account for every monitor of a server. They replace those
// the server had.
func (l *ledger) open(k key, kinds []string) []*account {
	accounts := make([]*account, len(kinds))
	for i, kind := range kinds {
		accounts[i] = &account{tally: Tally{Service: k.service, Host: k.host, Monitor: kind}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts[k] = accounts
	return accounts
}

// drop closes a server's accounts.
func (l *ledger) drop(k key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accounts, k)
}

func (l *ledger) all() []Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	tallies := make([]Tally, 0, len(l.accounts))
	for _, accounts := range l.accounts {
		for _, a := range accounts {
			tallies = append(tallies, a.read())
		}
	}
	return tallies
}

// account is one Tally in the making: its check and the desk write to it.
type account struct {
	mu    sync.Mutex
	tally Tally
}

func (a *account) read() Tally {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tally
	t.Took, t.Failed, t.Lost = maps.Clone(t.Took), maps.Clone(t.Failed), maps.Clone(t.Lost)
	return t
}

// heard notes a result and what is believed after it.
func (a *account) heard(r result, believed lb.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.state {
	case lb.Up:
		a.tally.Ups++
	case lb.Down:
		a.tally.Downs++
	}
	if believed == a.tally.State {
		return
	}
	a.tally.State = believed
	switch believed {
	case lb.Up:
		a.tally.Rises++
	case lb.Down:
		a.tally.Falls++
	}
}

// took notes how long a look lasted.
func (a *account) took(l Look, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tally.Took == nil {
		a.tally.Took = map[Look]time.Duration{}
	}
	a.tally.Took[l] = d
}

// failed notes a connection that did not open.
func (a *account) failed(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tally.Failed == nil {
		a.tally.Failed = map[string]uint64{}
	}
	a.tally.Failed[reason]++
}

// lost notes a connection that ended.
func (a *account) lost(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tally.Lost == nil {
		a.tally.Lost = map[string]uint64{}
	}
	a.tally.Lost[reason]++
}
