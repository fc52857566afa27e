package dataplane

import "context"

// Verb is what one Op does.
type Verb uint8

// Verbs, in the order a Plan carries them out: whatever adds capacity comes
// before whatever takes it away.
const (
	AddService Verb = iota
	AddDestination
	EditService
	EditDestination
	RemoveDestination
	RemoveService
)

// Op is one change to a plane. Every verb is idempotent: adding what is there
// sets it, removing what is absent is no error.
type Op struct {
	Verb Verb
	// Service names the service and, for AddService and EditService, its
	// settings. Its Destinations are not looked at.
	Service Service
	// Destination is set for the three destination verbs.
	Destination Destination
}

// Plan is an ordered list of changes: adds, then edits, then removals.
type Plan []Op

// Plane is a forwarding plane: something that holds a table.
type Plane interface {
	// Read returns the table the plane holds now.
	Read(ctx context.Context) (Table, error)
	// Apply carries out the plan in order. An Op that fails does not stop
	// those behind it; the error joins all failures, each naming its object.
	Apply(ctx context.Context, plan Plan) error
}

// Wanted is what the balancer wants of the plane, whole.
type Wanted struct {
	// Version grows with every Wanted; it comes back in Result.
	Version uint64
	// Table is the wanted table.
	Table Table
	// Hold lists services about which nothing has been heard yet: whatever
	// the plane has for them stays as it is.
	Hold []ServiceID
}

// Result is what came of a Wanted.
type Result struct {
	// Version is that of the latest Wanted taken into account.
	Version uint64
	// Table is what the plane holds for services that are wanted or held.
	// While the plane cannot be read it is what was last known; it is nil, and
	// not merely empty, if the plane has never been read.
	Table Table
	// Known is false while the plane could not be read since something was
	// last tried on it: Table is then what it held before.
	Known bool
	// Strays are services the plane holds that nobody wants, holds or has
	// wanted before in this process. They are never touched.
	Strays []ServiceID
	// Err is nil when the plane holds exactly what was wanted.
	Err error
}
