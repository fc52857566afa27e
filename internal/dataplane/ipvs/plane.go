// Package ipvs is the forwarding plane that the Linux kernel runs: it reads and
// changes the table of IP Virtual Server over generic netlink.
//
// A Plane speaks for the network namespace in which New was called, and for the
// whole table there, whoever made it. What the table can hold and
// dataplane.Service cannot say is treated thus:
//
//   - A fwmark service has no protocol, address and port, so it is nothing a
//     configuration here could name: Read leaves it out.
//   - Any other service is read, and is a stray when nobody wants it. Settings
//     that have no field (persistence, flags of the scheduler) are appended to
//     the name of its scheduler, as in "wrr+persistent"; likewise settings of a
//     destination (thresholds, GUE and GRE tunnels) to its forwarding method. So
//     they differ from whatever is wanted, and the edit that follows clears them
//     on a service of ours. Nothing of the kind can be applied.
//
// The numbers and the errors are those of include/uapi/linux/ip_vs.h and
// net/netfilter/ipvs/ip_vs_ctl.c.
package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/cloudflare/ipvs"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// Plane is the kernel's table. Its methods may be called by several goroutines,
// but a plan is a sequence of changes, not a transaction.
type Plane struct {
	kernel kernel
}

// New opens a netlink socket in the current network namespace. It fails when
// this process may not use it, and when the kernel has no IPVS: the module
// ip_vs must be loaded.
func New() (*Plane, error) {
	if err := mayAdminister(); err != nil {
		return nil, fmt.Errorf("open ipvs: %w", err)
	}
	client, err := ipvs.New()
	if err != nil {
		return nil, fmt.Errorf("open ipvs: %w", explainOpen(err))
	}
	return &Plane{kernel: kernelOf(client)}, nil
}

// Close closes the socket. The table stays as it is.
func (p *Plane) Close() error {
	if err := p.kernel.close(); err != nil {
		return fmt.Errorf("close ipvs: %w", err)
	}
	return nil
}

// Read dumps the services and then the destinations of each, which is how the
// kernel gives them out. When others change the table meanwhile, the result may
// lack or still have what they changed.
func (p *Plane) Read(ctx context.Context) (dataplane.Table, error) {
	services, err := dump(p.kernel.services())
	if err != nil {
		return nil, fmt.Errorf("read services: %w", explain(err, dataplane.Op{}))
	}
	var read []dataplane.Service
	for _, extended := range services {
		service, ok := decodeService(extended.Service)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read destinations of %s: %w", service.ID, err)
		}
		if service.Destinations, err = p.destinations(extended.Service); err != nil {
			return nil, fmt.Errorf("read destinations of %s: %w", service.ID, explain(err, dataplane.Op{}))
		}
		read = append(read, service)
	}
	return dedupe(dataplane.NewTable(read...)), nil
}

// dedupe drops what a dump gave twice, as it may when somebody's change moves
// its continuation along.
func dedupe(t dataplane.Table) dataplane.Table {
	t = slices.CompactFunc(t, func(a, b dataplane.Service) bool { return a.ID == b.ID })
	for i := range t {
		t[i].Destinations = slices.CompactFunc(t[i].Destinations, func(a, b dataplane.Destination) bool { return a.Addr == b.Addr })
	}
	return t
}

func (p *Plane) destinations(service ipvs.Service) ([]dataplane.Destination, error) {
	extended, err := dump(p.kernel.destinations(service))
	if err != nil {
		return nil, err
	}
	destinations := make([]dataplane.Destination, 0, len(extended))
	for _, e := range extended {
		destinations = append(destinations, decodeDestination(e.Destination))
	}
	return destinations, nil
}

// dump makes nothing of the error with which the library reports an empty dump.
// A missing family, the other way to that errno, is found out by New.
func dump[T any](list []T, err error) ([]T, error) {
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(syscall.Errno)) {
		return nil, nil
	}
	return list, err
}

// Apply carries out the plan in order. Every failure is in the error, with its
// object and, where the kernel's errno allows a guess, the likely cause. When
// ctx ends, the rest of the plan is left undone.
func (p *Plane) Apply(ctx context.Context, plan dataplane.Plan) error {
	var failures []error
	for i, op := range plan {
		if err := ctx.Err(); err != nil {
			failures = append(failures, fmt.Errorf("apply plan from change %d of %d: %w", i+1, len(plan), err))
			break
		}
		if err := p.apply(op); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", op, explain(err, op)))
		}
	}
	return errors.Join(failures...)
}

func (p *Plane) apply(op dataplane.Op) error {
	switch op.Verb {
	case dataplane.AddService, dataplane.EditService:
		return p.setService(op)
	case dataplane.RemoveService:
		return p.removeService(op)
	case dataplane.AddDestination, dataplane.EditDestination:
		return p.setDestination(op)
	case dataplane.RemoveDestination:
		return p.removeDestination(op)
	default:
		return fmt.Errorf("no such verb")
	}
}

// setService sets a service that AddService finds there.
func (p *Plane) setService(op dataplane.Op) error {
	service, err := encodeService(op.Service)
	if err != nil {
		return err
	}
	if op.Verb == dataplane.AddService {
		if err := p.kernel.createService(service); !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	return p.kernel.updateService(service)
}

func (p *Plane) removeService(op dataplane.Op) error {
	service, err := encodeID(op.Service.ID)
	if err != nil {
		return err
	}
	return ignore(p.kernel.removeService(service), syscall.ESRCH)
}

// setDestination sets a destination that AddDestination finds there.
func (p *Plane) setDestination(op dataplane.Op) error {
	service, err := encodeID(op.Service.ID)
	if err != nil {
		return err
	}
	destination, err := encodeDestination(op.Destination)
	if err != nil {
		return err
	}
	if op.Verb == dataplane.AddDestination {
		if err := p.kernel.createDestination(service, destination); !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	return p.kernel.updateDestination(service, destination)
}

func (p *Plane) removeDestination(op dataplane.Op) error {
	service, err := encodeID(op.Service.ID)
	if err != nil {
		return err
	}
	destination, err := encodeReal(op.Destination.Addr)
	if err != nil {
		return err
	}
	return ignore(p.kernel.removeDestination(service, destination), syscall.ENOENT, syscall.ESRCH)
}

// ignore is nil if err is one of errnos, and err otherwise.
func ignore(err error, errnos ...syscall.Errno) error {
	for _, errno := range errnos {
		if errors.Is(err, errno) {
			return nil
		}
	}
	return err
}
