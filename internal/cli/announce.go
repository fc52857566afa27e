package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// announceTimeout bounds one announcement.
const announceTimeout = time.Second

// announce tells people what was done, in conftool's words and, through a bot
// where one is configured, in conftool's way: a TCP connection per message. It
// never fails a command, and it does not heed the end of ctx: what was done
// before an interruption was done.
func (c *confctl) announce(ctx context.Context, s *session, what string) {
	if c.quiet {
		return
	}
	fmt.Fprintf(c.env.Stderr, "WARNING:conftool.announce:%s\n", what)
	if s.config.TCPIRCBotHost == "" || s.config.TCPIRCBotPort == 0 {
		return
	}
	bot := net.JoinHostPort(s.config.TCPIRCBotHost, strconv.Itoa(s.config.TCPIRCBotPort))
	// conftool names the machine by its host name, which has no domain.
	host, _, _ := strings.Cut(s.audit.Host, ".")
	if err := tell(context.WithoutCancel(ctx), bot, fmt.Sprintf("!log %s@%s %s", s.audit.User, host, what)); err != nil {
		fmt.Fprintf(c.env.Stderr, "warning: announce to %s: %v\n", bot, oneLine{err})
	}
}

// tell sends one message over a connection of its own.
func tell(ctx context.Context, addr, message string) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	_, err = conn.Write([]byte(message))
	return err
}
