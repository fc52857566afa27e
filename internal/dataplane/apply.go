package dataplane

import (
	"errors"
	"fmt"
	"slices"
)

// Apply returns the table after the plan, and the errors of the ops that could
// not be carried out: changes to a service or destination that is not there.
// The table itself is left as it is.
func (t Table) Apply(plan Plan) (Table, error) {
	t = slices.Clone(t)
	var errs []error
	for _, op := range plan {
		if err := t.do(op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op.Describe(), err))
		}
	}
	return t, errors.Join(errs...)
}

// do carries out one op in place. Slices of destinations are replaced and never
// written to: other tables share them.
func (t *Table) do(op Op) error {
	i, found := t.search(op.Service.ID)
	switch op.Verb {
	case AddService:
		if !found {
			*t = slices.Insert(*t, i, op.Service.settings())
			return nil
		}
		(*t)[i].set(op.Service)
	case RemoveService:
		if found {
			*t = slices.Delete(*t, i, i+1)
		}
	case RemoveDestination:
		if found {
			(*t)[i].drop(op.Destination)
		}
	case EditService, AddDestination, EditDestination:
		if !found {
			return errors.New("no such service")
		}
		return (*t)[i].do(op)
	default:
		return errors.New("no such verb")
	}
	return nil
}

func (s *Service) do(op Op) error {
	if op.Verb == EditService {
		s.set(op.Service)
		return nil
	}
	j, found := s.search(op.Destination)
	if !found && op.Verb == EditDestination {
		return errors.New("no such destination")
	}
	dests := make([]Destination, 0, len(s.Destinations)+1)
	dests = append(append(dests, s.Destinations[:j]...), op.Destination)
	if found {
		j++
	}
	s.Destinations = append(dests, s.Destinations[j:]...)
	return nil
}

func (s *Service) drop(d Destination) {
	if j, found := s.search(d); found {
		s.Destinations = slices.Concat(s.Destinations[:j], s.Destinations[j+1:])
	}
}

func (s *Service) set(from Service) {
	s.Scheduler, s.OnePacket = from.Scheduler, from.OnePacket
}

func (s *Service) search(d Destination) (int, bool) {
	return slices.BinarySearchFunc(s.Destinations, d, func(a, b Destination) int { return a.Addr.Compare(b.Addr) })
}
