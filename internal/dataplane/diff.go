package dataplane

import "slices"

// Diff returns the plan that brings the table have to the table want, and the
// services in have that it leaves alone because they are nobody's.
//
// A service in hold is not touched, whatever want says of it. A service that is
// not in want is removed if owned says so and is a stray otherwise; a nil owned
// owns nothing. The plan adds, then edits, raising weights before it lowers
// any, and removes last: while it is carried out no destination that is in both
// tables is ever absent, and no service that serves before and after ever
// stands without a destination that takes connections.
func Diff(have, want Table, hold []ServiceID, owned func(ServiceID) bool) (plan Plan, strays []ServiceID) {
	held := newSet(hold)
	var d delta
	join(have, want, compareServices, func(old, new *Service) {
		switch {
		case old == nil:
			if !held.has(new.ID) {
				d.addService(new)
			}
		case new != nil:
			if !old.Equal(*new) && !held.has(old.ID) {
				d.changeService(old, new)
			}
		case held.has(old.ID):
		case owned != nil && owned(old.ID):
			d.removals = append(d.removals, Op{Verb: RemoveService, Service: old.settings()})
		default:
			strays = append(strays, old.ID)
		}
	})
	return d.plan(), strays
}

// delta collects the parts of a plan.
type delta struct {
	adds     Plan // services, each with its destinations behind it
	raises   Plan // edits that take no capacity away
	cuts     Plan // edits that lower a weight
	removals Plan
}

func (d *delta) plan() Plan {
	return slices.Concat(d.adds, d.raises, d.cuts, d.removals)
}

func (d *delta) addService(s *Service) {
	settings := s.settings()
	d.adds = append(d.adds, Op{Verb: AddService, Service: settings})
	for _, dest := range s.Destinations {
		d.adds = append(d.adds, Op{Verb: AddDestination, Service: settings, Destination: dest})
	}
}

func (d *delta) changeService(old, new *Service) {
	settings := new.settings()
	if !old.sameSettings(*new) {
		d.raises = append(d.raises, Op{Verb: EditService, Service: settings})
	}
	join(old.Destinations, new.Destinations, compareDestinations, func(old, new *Destination) {
		switch {
		case old == nil:
			d.adds = append(d.adds, Op{Verb: AddDestination, Service: settings, Destination: *new})
		case new == nil:
			d.removals = append(d.removals, Op{Verb: RemoveDestination, Service: settings, Destination: *old})
		case *old == *new:
		case new.Weight < old.Weight:
			d.cuts = append(d.cuts, Op{Verb: EditDestination, Service: settings, Destination: *new})
		default:
			d.raises = append(d.raises, Op{Verb: EditDestination, Service: settings, Destination: *new})
		}
	})
}

// join walks two sorted slices side by side and visits every element once,
// together with its equal in the other slice or nil if there is none.
func join[E any](a, b []E, compare func(x, y *E) int, visit func(x, y *E)) {
	for len(a) > 0 && len(b) > 0 {
		switch c := compare(&a[0], &b[0]); {
		case c < 0:
			visit(&a[0], nil)
			a = a[1:]
		case c > 0:
			visit(nil, &b[0])
			b = b[1:]
		default:
			visit(&a[0], &b[0])
			a, b = a[1:], b[1:]
		}
	}
	for i := range a {
		visit(&a[i], nil)
	}
	for i := range b {
		visit(nil, &b[i])
	}
}

func compareServices(a, b *Service) int {
	if a.ID == b.ID {
		return 0
	}
	return a.ID.Compare(b.ID)
}

func compareDestinations(a, b *Destination) int {
	if a.Addr == b.Addr {
		return 0
	}
	return a.Addr.Compare(b.Addr)
}

// set is a set of services; nil is the empty one.
type set map[ServiceID]struct{}

func newSet(ids []ServiceID) set {
	if len(ids) == 0 {
		return nil
	}
	s := make(set, len(ids))
	for _, id := range ids {
		s[id] = struct{}{}
	}
	return s
}

func (s set) has(id ServiceID) bool {
	if len(s) == 0 {
		return false
	}
	_, ok := s[id]
	return ok
}
