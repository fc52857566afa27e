package lbd

import "github.com/sluice-lb/sluice/internal/source"

// parseEtcd reads how to speak to the stores of etcd:// sources. None of it is
// PyBal's, which spoke TLS to anybody and authenticated to nobody.
func parseEtcd(s *section) source.Access {
	text := func(option string) string {
		v, _ := s.text(option)
		return v
	}
	a := source.Access{
		TLS: s.boolean("etcd-tls", false), CA: text("etcd-ca"), Cert: text("etcd-cert"), Key: text("etcd-key"),
		Username: text("etcd-username"), PasswordFile: text("etcd-password-file"),
	}
	if a.Key != "" && a.Cert == "" {
		s.bad("etcd-key", "there is no etcd-cert that it is of")
	}
	if a.Username != "" && a.PasswordFile == "" {
		s.bad("etcd-username", "there is no etcd-password-file")
	}
	if a.Username == "" && a.PasswordFile != "" {
		s.bad("etcd-password-file", "there is no etcd-username")
	}
	return a
}
