package health

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
)

// grpcCheck is a check of ours, GRPCHealth: it asks the standard health
// service, grpc.health.v1, over a new connection each time.
type grpcCheck struct {
	rhythm
	service   string
	authority string
	tls       *tls.Config // nil: plain
}

// Bounds of what a gRPC server may send for an answer of two bytes.
const (
	maxGRPCHeader  = 16 << 10
	maxGRPCMessage = 4 << 10
)

func newGRPC(o *options) grpcCheck {
	c := grpcCheck{rhythm: newRhythm(o, 10*time.Second, 5*time.Second)}
	c.service, _ = o.plain("service")
	c.authority, _ = o.plain("host")
	if o.yes("tls", false) {
		c.tls = newTLS(o, c.authority)
		if c.authority != "" && c.tls.ServerName != c.authority {
			o.fail("sni", "gRPC over TLS has one name for both host and sni")
		}
		if c.tls.ServerName == "" && !c.tls.InsecureSkipVerify {
			o.fail("tls-verify", "needs host or sni, the name to verify")
		}
	}
	return c
}

func (c grpcCheck) run(ctx context.Context, p *probe) { c.keep(ctx, p, c.look) }

func (c grpcCheck) look(ctx context.Context, p *probe) error {
	refused := make(chan error, 1) // says it in plainer words than gRPC
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := p.dial(ctx, "tcp", address)
		if err != nil {
			select {
			case refused <- err:
			default:
			}
		}
		return conn, err
	}
	conn, err := grpc.NewClient("passthrough:///"+p.addr.String(), c.options(dial)...)
	if err != nil {
		return err
	}
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: c.service})
	conn.Close() // and all that dialled
	switch {
	case err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING:
		return nil
	case err == nil:
		return errors.New(answer.GetStatus().String())
	}
	select {
	case err := <-refused:
		return err
	default:
		return explain(err)
	}
}

func (c grpcCheck) options(dial func(context.Context, string) (net.Conn, error)) []grpc.DialOption {
	transport := insecure.NewCredentials()
	if c.tls != nil {
		transport = credentials.NewTLS(c.tls.Clone())
	}
	opts := []grpc.DialOption{
		grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("Sluice-lbd"),
		grpc.WithMaxHeaderListSize(maxGRPCHeader),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxGRPCMessage)),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
	}
	if c.authority != "" {
		opts = append(opts, grpc.WithAuthority(c.authority))
	}
	return opts
}

// explain says what went wrong without gRPC's decorations.
func explain(err error) error {
	s := grpcstatus.Convert(err)
	switch s.Code() {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unimplemented:
		return errors.New("no health service")
	case codes.NotFound:
		return errors.New("health service does not know the service")
	}
	return errors.New(s.Code().String() + ": " + s.Message())
}
