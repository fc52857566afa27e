package dataplane

import (
	"fmt"
	"strings"
)

// String returns the op as a line of ipvsadm(8): "-A -t 192.0.2.1:80 -s wrr",
// "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -w 10". Direct forwarding, being
// ipvsadm's default, is not spelled out.
func (o Op) String() string {
	var b strings.Builder
	flag, ok := o.Verb.flag()
	if !ok {
		return fmt.Sprintf("invalid verb %d of %s", o.Verb, o.Service.ID)
	}
	b.WriteString(flag + " " + o.Service.ID.Protocol.flag() + " " + o.Service.ID.VIP.String())
	switch o.Verb {
	case AddService, EditService:
		b.WriteString(" -s " + o.Service.Scheduler)
		if o.Service.OnePacket {
			b.WriteString(" -o")
		}
	case AddDestination, EditDestination:
		fmt.Fprintf(&b, " -r %s -w %d%s", o.Destination.Addr, o.Destination.Weight, o.Destination.Forward.flag())
	case RemoveDestination:
		fmt.Fprintf(&b, " -r %s", o.Destination.Addr)
	}
	return b.String()
}

func (v Verb) flag() (string, bool) {
	switch v {
	case AddService:
		return "-A", true
	case AddDestination:
		return "-a", true
	case EditService:
		return "-E", true
	case EditDestination:
		return "-e", true
	case RemoveDestination:
		return "-d", true
	case RemoveService:
		return "-D", true
	}
	return "", false
}

func (p Protocol) flag() string {
	switch p {
	case UDP:
		return "-u"
	case SCTP:
		return "--sctp-service"
	}
	return "-t"
}

func (f Forward) flag() string {
	switch f {
	case Tunnel:
		return " -i"
	case Masquerade:
		return " -m"
	}
	return ""
}

// Describe returns what the op does in words, for the front of an error: "add
// service tcp 192.0.2.1:80", "add destination 10.0.0.1:80 of tcp 192.0.2.1:80".
func (o Op) Describe() string {
	switch o.Verb {
	case AddService:
		return "add service " + o.Service.ID.String()
	case EditService:
		return "edit service " + o.Service.ID.String()
	case RemoveService:
		return "remove service " + o.Service.ID.String()
	case AddDestination:
		return o.destination("add")
	case EditDestination:
		return o.destination("edit")
	case RemoveDestination:
		return o.destination("remove")
	}
	return o.String()
}

func (o Op) destination(verb string) string {
	return fmt.Sprintf("%s destination %s of %s", verb, o.Destination.Addr, o.Service.ID)
}
