package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// Where conftool looks.
const (
	defaultConfig = "/etc/conftool/config.yaml"
	defaultSchema = "/etc/conftool/schema.yaml"
)

// config is what a command has to know before it can do anything. The keys are
// those of conftool's config.yaml, and some besides: endpoints, timeout, and
// who we are to the store.
type config struct {
	Endpoints  []string      `mapstructure:"endpoints"`
	Namespace  string        `mapstructure:"namespace"`
	APIVersion string        `mapstructure:"api_version"`
	PoolsPath  string        `mapstructure:"pools_path"`
	Timeout    time.Duration `mapstructure:"timeout"`
	Driver     string        `mapstructure:"driver"`
	// Guard refuses changes that would leave a pool with too little.
	Guard bool `mapstructure:"guard"`

	// CACert, Cert and Key are PEM files; Key may be in Cert's.
	CACert       string `mapstructure:"ca_cert"`
	Cert         string `mapstructure:"cert"`
	Key          string `mapstructure:"key"`
	Username     string `mapstructure:"username"`
	PasswordFile string `mapstructure:"password_file"`
	// BalancerCA is a PEM file that balancers with HTTPS are verified by.
	BalancerCA string `mapstructure:"balancer_ca"`
	// Password comes from an etcdrc alone.
	Password string `mapstructure:"password"`

	// Where to announce what was done; nowhere unless both are given.
	TCPIRCBotHost string `mapstructure:"tcpircbot_host"`
	TCPIRCBotPort int    `mapstructure:"tcpircbot_port"`

	// DriverOptions may name an etcdrc file (etcd_config_file).
	DriverOptions map[string]any `mapstructure:"driver_options"`

	// Keys of conftool's that mean nothing here: its etcd driver does not
	// use hosts either.
	Hosts     any `mapstructure:"hosts"`
	CachePath any `mapstructure:"cache_path"`
}

// configKeys are the keys a configuration file may have.
func configKeys() []string {
	return []string{
		"endpoints", "namespace", "api_version", "pools_path", "timeout", "driver", "guard",
		"ca_cert", "cert", "key", "username", "password_file", "balancer_ca",
		"hosts", "driver_options", "tcpircbot_host", "tcpircbot_port", "cache_path",
	}
}

// configFlags adds --config and --schema to a flag set.
func configFlags(flags *pflag.FlagSet) {
	flags.String("config", defaultConfig, "configuration `FILE`")
	flags.String("schema", defaultSchema, "schema `FILE`")
}

// place is where a file is looked for, and whether somebody asked for it.
type place struct {
	path     string
	explicit bool
}

// placeOf finds a file's place: flag, then environment, then default.
func placeOf(env Env, flags *pflag.FlagSet, name string) place {
	flag := flags.Lookup(name)
	if flag.Changed {
		return place{flag.Value.String(), true}
	}
	if path := env.Getenv("SLUICE_" + strings.ToUpper(name)); path != "" {
		return place{path, true}
	}
	return place{flag.DefValue, false}
}

// loadConfig reads the configuration: environment over config.yaml over etcdrc
// files over defaults. A file that is there but cannot be understood is an error
// and never replaced by defaults, which would be another store. Flags must come
// from configFlags.
func loadConfig(env Env, flags *pflag.FlagSet) (config, error) {
	file := placeOf(env, flags, "config")
	var values map[string]any
	data, err := os.ReadFile(file.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !file.explicit:
		fmt.Fprintf(env.Stderr, "warning: no config %s: using defaults\n", file.path)
	case err == nil:
		values, err = parseConfig(data)
		fallthrough
	default:
		if err != nil {
			return config{}, readError("config", file.path, err)
		}
	}
	options, _ := values["driver_options"].(map[string]any)
	rc, err := loadEtcdrc(etcdrcFiles(env, options))
	if err != nil {
		return config{}, err
	}
	c, err := mergeConfig(env, rc, values)
	if err != nil {
		return config{}, readError("config", file.path, err)
	}
	return c, nil
}

// readError is one line for a file that cannot be used.
func readError(what, path string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("read %s %s: %w", what, path, oneLine{err})
}

// oneLine is an error whose text is put on one line.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }

// parseConfig reads a configuration file: one mapping of known keys.
func parseConfig(data []byte) (map[string]any, error) {
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil, errors.New("empty")
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	top := root.Content[0]
	switch {
	case top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null":
		return nil, errors.New("empty")
	case top.Kind != yaml.MappingNode:
		return nil, errors.New("not a mapping")
	}
	for i := 0; i < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if !slices.Contains(configKeys(), key.Value) {
			return nil, fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		}
		if value.ShortTag() == "!!null" {
			return nil, fmt.Errorf("line %d: %s has no value", key.Line, key.Value)
		}
	}
	values := make(map[string]any)
	if err := top.Decode(&values); err != nil {
		return nil, err
	}
	return values, nil
}

// mergeConfig lays the environment over the file's values over those of the
// etcdrc files over the defaults.
func mergeConfig(env Env, rc, file map[string]any) (config, error) {
	v := viper.New()
	v.SetDefault("endpoints", []string{"http://127.0.0.1:2379"})
	v.SetDefault("namespace", "/conftool")
	v.SetDefault("api_version", "v1")
	v.SetDefault("pools_path", "pools")
	v.SetDefault("timeout", "5s")
	v.SetDefault("driver", "etcd")
	v.SetDefault("guard", true)
	for _, values := range []map[string]any{rc, file, fromEnvironment(env)} {
		if err := v.MergeConfigMap(values); err != nil {
			return config{}, err
		}
	}
	var c config
	strict := func(d *mapstructure.DecoderConfig) { d.WeaklyTypedInput = false }
	if err := v.UnmarshalExact(&c, strict); err != nil {
		return config{}, err
	}
	return c, c.check()
}

// fromEnvironment returns what SLUICE_ENDPOINTS (separated by commas) and its
// like say.
func fromEnvironment(env Env) map[string]any {
	values := make(map[string]any)
	for _, key := range []string{
		"namespace", "api_version", "pools_path", "timeout", "ca_cert", "cert", "key", "username", "password_file", "balancer_ca",
	} {
		if s := env.Getenv("SLUICE_" + strings.ToUpper(key)); s != "" {
			values[key] = s
		}
	}
	if s := env.Getenv("SLUICE_ENDPOINTS"); s != "" {
		values["endpoints"] = strings.Split(s, ",")
	}
	return values
}

func (c config) check() error {
	if len(c.Endpoints) == 0 {
		return errors.New("endpoints: none given")
	}
	for _, endpoint := range c.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("endpoints: %q is no URL like http://127.0.0.1:2379", endpoint)
		}
	}
	if c.Timeout < time.Millisecond {
		return fmt.Errorf("timeout: want a time like 5s, got %s", c.Timeout)
	}
	if c.PoolsPath == "" || slices.Contains(strings.Split(c.PoolsPath, "/"), "") {
		return fmt.Errorf("pools_path: %q is not a relative path", c.PoolsPath)
	}
	if c.Driver != "etcd" {
		return withExit(exitBackend, fmt.Errorf("driver: there is no driver %q", c.Driver))
	}
	return nil
}
