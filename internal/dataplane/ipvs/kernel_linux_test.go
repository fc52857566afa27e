package ipvs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/planetest"
)

// The tests of this file speak to the kernel, each in a network namespace of
// its own, for IPVS has a table for each.

func TestKernel(t *testing.T) {
	needKernel(t)
	t.Run("conformance", func(t *testing.T) { conformance(t, openKernel) })
	t.Run("errnos", func(t *testing.T) { errnos(t, openKernel(t)) })
	t.Run("mixed families", func(t *testing.T) { mixedFamilies(t, openKernel(t)) })
	t.Run("a new process adopts", func(t *testing.T) { adopts(t, openKernel(t), open(t)) })
}

// TestKernelAgreesWithIpvsadm reads random tables with both.
func TestKernelAgreesWithIpvsadm(t *testing.T) {
	needKernel(t)
	p := openKernel(t)
	draw4 := rapid.Custom(func(t *rapid.T) []dataplane.Service { return planetest.Services(t, v4(1), v4(2)) })
	draw6 := rapid.Custom(func(t *rapid.T) []dataplane.Service { return planetest.Services(t, v6(1), v6(2)) })
	for seed := range 8 {
		want := dataplane.NewTable(append(draw4.Example(seed), draw6.Example(seed)...)...)
		bring(t, p, want)
		if got := parseIpvsadm(t, ipvsadm(t, "-Ln")); !got.Equal(want) {
			t.Errorf("ipvsadm shows\n%v\nwant\n%v", got, want)
		}
	}
}

// TestKernelForeignSettings makes with ipvsadm what a configuration here cannot
// say.
func TestKernelForeignSettings(t *testing.T) {
	needKernel(t)
	p := openKernel(t)
	ipvsadm(t, "-A", "-f", "7", "-s", "rr")
	ipvsadm(t, "-a", "-f", "7", "-r", "10.2.0.1:80", "-i")
	ipvsadm(t, "-A", "-t", "10.1.0.1:80", "-s", "wrr", "-p", "300", "-M", "255.255.255.0")
	ipvsadm(t, "-a", "-t", "10.1.0.1:80", "-r", "10.2.0.1:80", "-g", "-x", "9", "-y", "3")
	ipvsadm(t, "-a", "-t", "10.1.0.1:80", "-r", "10.2.0.2:80", "-i", "--tun-type", "gue", "--tun-port", "6080")
	ipvsadm(t, "-A", "-t", "[2001:db8::1]:80", "-s", "sh", "-b", "sh-port")

	ours := dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("10.1.0.1:80")}
	foreign := dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("[2001:db8::1]:80")}
	real1, real2 := netip.MustParseAddrPort("10.2.0.1:80"), netip.MustParseAddrPort("10.2.0.2:80")
	found := dataplane.NewTable(
		dataplane.Service{ID: ours, Scheduler: "wrr+persistent", Destinations: []dataplane.Destination{
			{Addr: real1, Weight: 1, Forward: "direct+limit=3:9"},
			{Addr: real2, Weight: 1, Forward: "tunnel+type=1"},
		}},
		dataplane.Service{ID: foreign, Scheduler: "sh+flags=0x10"},
	)
	if got := read(t, p); !got.Equal(found) {
		t.Fatalf("table is\n%v\nwant\n%v", got, found)
	}

	want := dataplane.NewTable(dataplane.Service{ID: ours, Scheduler: "wrr", Destinations: []dataplane.Destination{
		{Addr: real1, Weight: 1, Forward: dataplane.Direct},
		{Addr: real2, Weight: 1, Forward: dataplane.Tunnel},
	}})
	plan, strays := dataplane.Diff(found, want, nil, nil)
	if len(strays) != 1 || strays[0] != foreign {
		t.Errorf("strays are %v, want %v", strays, foreign)
	}
	apply(t, p, plan...)
	if got, _ := read(t, p).Find(ours); !got.Equal(want[0]) {
		t.Errorf("service is %v, want %v", got, want[0])
	}
	for _, line := range strings.Split(ipvsadm(t, "-Ln"), "\n") {
		if strings.Contains(line, "10.1.0.1:80") && strings.Contains(line, "persistent") {
			t.Errorf("still persistent: %s", line)
		}
	}
	if saved := ipvsadm(t, "-Sn"); !strings.Contains(saved, "-f 7") {
		t.Errorf("the fwmark service is gone:\n%s", saved)
	}
}

func TestKernelWithoutLo(t *testing.T) {
	needKernel(t)
	enterNamespace(t)
	p := open(t)
	apply(t, p, dataplane.Op{Verb: dataplane.AddService, Service: web})
	err := p.Apply(context.Background(), dataplane.Plan{{Verb: dataplane.AddDestination, Service: web, Destination: backend}})
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "lo is down") {
		t.Errorf("Apply: %v, want EINVAL because lo is down", err)
	}
}

func TestKernelWithoutPrivilege(t *testing.T) {
	needKernel(t)
	p := openKernel(t)
	dropNetAdmin(t)
	if _, err := p.Read(context.Background()); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Read: %v, want EPERM", err)
	}
	err := p.Apply(context.Background(), dataplane.Plan{{Verb: dataplane.AddService, Service: web}})
	if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Apply: %v, want EPERM", err)
	}
}

// needKernel skips where there is no IPVS to be had. The lab promises one, so
// there the same is a failure.
func needKernel(t *testing.T) {
	t.Helper()
	reason := ""
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		reason = "this kernel has no IPVS"
	} else if os.Geteuid() != 0 {
		reason = "not root"
	}
	switch {
	case reason == "":
	case os.Getenv("SLUICE_KERNEL_LAB") == "1":
		t.Fatalf("%s, though SLUICE_KERNEL_LAB=1", reason)
	default:
		t.Skipf("%s; run make lab-test", reason)
	}
}

// enterNamespace gives the calling goroutine a thread of its own, in a new
// network namespace. Both go when the test ends.
func enterNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread is of no use to others
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare network namespace: %v", err)
	}
}

// openKernel opens a plane in a new network namespace with lo up.
func openKernel(t *testing.T) *Plane {
	t.Helper()
	enterNamespace(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open socket: %v", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatalf("set lo up: %v", err)
	}
	return open(t)
}

// open opens a plane in the current network namespace.
func open(t *testing.T) *Plane {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread.
func dropNetAdmin(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatalf("read capabilities: %v", err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatalf("drop CAP_NET_ADMIN: %v", err)
	}
}

// ipvsadm runs it in the calling thread's network namespace.
func ipvsadm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ipvsadm", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("SLUICE_KERNEL_LAB") != "1" {
		t.Skip("no ipvsadm; run make lab-test")
	}
	if err != nil {
		t.Fatalf("ipvsadm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// parseIpvsadm reads what ipvsadm -Ln prints.
func parseIpvsadm(t *testing.T, text string) dataplane.Table {
	t.Helper()
	protocols := map[string]dataplane.Protocol{"TCP": dataplane.TCP, "UDP": dataplane.UDP, "SCTP": dataplane.SCTP}
	methods := map[string]dataplane.Forward{"Route": dataplane.Direct, "Tunnel": dataplane.Tunnel, "Masq": dataplane.Masquerade}
	var services []dataplane.Service
	lines := bufio.NewScanner(bytes.NewBufferString(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 3 && protocols[fields[0]] != "":
			services = append(services, dataplane.Service{
				ID:        dataplane.ServiceID{Protocol: protocols[fields[0]], VIP: netip.MustParseAddrPort(fields[1])},
				Scheduler: fields[2],
				OnePacket: len(fields) > 3 && fields[3] == "ops",
			})
		case len(fields) == 6 && len(services) > 0:
			weight, err := strconv.Atoi(fields[3])
			if err != nil {
				t.Fatalf("ipvsadm: weight in %q: %v", lines.Text(), err)
			}
			s := &services[len(services)-1]
			s.Destinations = append(s.Destinations, dataplane.Destination{
				Addr: netip.MustParseAddrPort(fields[1]), Weight: weight, Forward: methods[fields[2]],
			})
		}
	}
	return dataplane.NewTable(services...)
}
