package ipvs

import (
	"io"

	"github.com/cloudflare/ipvs"
)

// kernel is the calls that reach the kernel, one netlink exchange each. Tests
// put a table in memory in their place.
type kernel struct {
	services          func() ([]ipvs.ServiceExtended, error)
	createService     func(ipvs.Service) error
	updateService     func(ipvs.Service) error
	removeService     func(ipvs.Service) error
	destinations      func(ipvs.Service) ([]ipvs.DestinationExtended, error)
	createDestination func(ipvs.Service, ipvs.Destination) error
	updateDestination func(ipvs.Service, ipvs.Destination) error
	removeDestination func(ipvs.Service, ipvs.Destination) error
	close             func() error
}

func kernelOf(client ipvs.Client) kernel {
	k := kernel{
		services:          client.Services,
		createService:     client.CreateService,
		updateService:     client.UpdateService,
		removeService:     client.RemoveService,
		destinations:      client.Destinations,
		createDestination: client.CreateDestination,
		updateDestination: client.UpdateDestination,
		removeDestination: client.RemoveDestination,
		close:             func() error { return nil },
	}
	if closer, ok := client.(io.Closer); ok {
		k.close = closer.Close
	}
	return k
}
