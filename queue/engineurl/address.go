// Package engineurl opens a queue's engine by one address, such as a flag or an environment
// variable has it:
//
//	sqlite:queue.db                                   a file, relative or absolute
//	redis://user:password@host:6379/0                 a Redis server; rediss:// is with TLS
//	redis+sentinel://host1:26379,host2:26379/0?master=mymaster
//	redis+cluster://host1:6379,host2:6379
//	sqs://sqs.eu-central-1.amazonaws.com/123456789012/pacer.fifo?ledger=sqlite:queue.db
//
// [Options] lists what may follow the question mark. Both of the longer Redis forms have a
// variant with TLS: rediss+sentinel and rediss+cluster. The host of an address of SQS has the
// region. sqs+http:// is for an emulator, and needs the option region.
//
// In a user name and a password the characters : / ? # @ % are written as escapes, such as %2F.
// An error says what is wrong in an address, and never shows a password. Neither does
// [Address.String].
//
// A program that imports this package has all engines among its modules' packages. One that
// uses a single engine imports that engine's package.
package engineurl

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Address says where a queue is. The zero value is no address: Open returns an error. It may be
// used by many goroutines at once.
type Address struct {
	kind   kind
	secure bool   // with TLS
	path   string // sqlite: the file; sqs: the path of the queue's URL
	hosts  []string
	redis  login
	set    map[string]string // the options, by name
	ledger *Address          // sqs; nil: a producer has none
}

// A login is what a Redis asks for.
type login struct {
	user, password string // "": none
	db             int
}

// A kind is an engine, and how its servers are found.
type kind string

const (
	sqlite   kind = "sqlite"
	single   kind = "redis"
	sentinel kind = "redis+sentinel"
	cluster  kind = "redis+cluster"
	amazon   kind = "sqs"
)

// An OptionDoc describes an option of an address.
type OptionDoc struct {
	Name    string   // such as "master"
	Schemes []string // that have it
	Means   string   // its value, unit and default
}

// Options lists the options that an address may have behind its question mark.
func Options() []OptionDoc {
	anyRedis := []string{string(single), string(sentinel), string(cluster)}
	return []OptionDoc{
		{"name", anyRedis, `the queue's name; a Redis may hold several queues. Default: "queue"`},
		{"replicas", anyRedis, "how many replicas must have received a change, 1 to 100. Default: none. See redisqueue.Replicas"},
		{"replicas-timeout", anyRedis, "how long to wait for the replicas, such as 500ms. Default: 1s"},
		{"master", []string{string(sentinel)}, "the name of the master that Sentinel watches; required"},
		{"ledger", []string{string(amazon)}, "the address of the engine that keeps the jobs. Without it the program can only enqueue"},
		{"region", []string{string(amazon)}, "the AWS region. Default: the one in the host's name"},
	}
}

// maxAddress is how many bytes an address may have.
const maxAddress = 4096

// Parse reads an address. It opens nothing. The error says what was expected, and shows neither a
// password nor anything that might be one.
func Parse(text string) (Address, error) {
	a, err := parse(text)
	if err != nil {
		return Address{}, fmt.Errorf("engineurl: %w", err)
	}
	return a, nil
}

func parse(text string) (Address, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return Address{}, errors.New("the address is empty: expected one such as sqlite:queue.db or redis://localhost:6379/0")
	case len(text) > maxAddress:
		return Address{}, fmt.Errorf("the address has %d bytes: expected at most %d", len(text), maxAddress)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }):
		return Address{}, errors.New("the address has a control character, or is not UTF-8")
	}
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		return Address{}, errors.New("the address has no scheme: expected sqlite:PATH for a file, or redis://HOST:PORT/0 or sqs://HOST/ACCOUNT/NAME.fifo")
	}
	switch scheme {
	case "sqlite":
		return parseSQLite(rest)
	case "redis", "redis+sentinel", "redis+cluster":
		return parseRedis(kind(scheme), false, rest)
	case "rediss", "rediss+sentinel", "rediss+cluster":
		return parseRedis(kind("redis"+strings.TrimPrefix(scheme, "rediss")), true, rest)
	case "sqs":
		return parseSQS(true, rest)
	case "sqs+http":
		return parseSQS(false, rest)
	}
	return Address{}, errors.New("the scheme is not known: expected sqlite, redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster, sqs or sqs+http")
}

func parseSQLite(rest string) (Address, error) {
	path, absolute := strings.CutPrefix(rest, "//")
	switch {
	case absolute && !strings.HasPrefix(path, "/"):
		return Address{}, errors.New("sqlite: // is followed by a host's name, and a file has none: expected sqlite:PATH, or sqlite:///PATH for an absolute path")
	case path == "" || strings.HasSuffix(path, "/"):
		return Address{}, errors.New("sqlite: the path names no file: expected one such as sqlite:queue.db")
	case path == ":memory:":
		return Address{}, errors.New("sqlite: :memory: would keep nothing: expected the path of a file")
	case strings.ContainsRune(path, '?'):
		return Address{}, errors.New("sqlite: the path has a question mark: sqlite has no options")
	}
	return Address{kind: sqlite, path: path}, nil
}

func parseRedis(k kind, secure bool, rest string) (Address, error) {
	a := Address{kind: k, secure: secure}
	authority, path, query, err := split(string(k), rest)
	if err != nil {
		return a, err
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		var errUser, errPassword error
		a.redis.user, errUser = url.PathUnescape(user)
		a.redis.password, errPassword = url.PathUnescape(password)
		if errUser != nil || errPassword != nil {
			return a, fmt.Errorf("%s: a %% in the user or the password begins no escape: expected %%25 for it", k)
		}
		authority = authority[at+1:]
	}
	a.hosts = strings.Split(authority, ",")
	if k == single && len(a.hosts) > 1 {
		return a, fmt.Errorf("%s: several hosts: expected one, or the scheme redis+sentinel or redis+cluster", k)
	}
	port := "6379"
	if k == sentinel {
		port = "26379"
	}
	for i, host := range a.hosts {
		if a.hosts[i], err = hostPort(host, port); err != nil {
			return a, fmt.Errorf("%s: host %d of %d: %w", k, i+1, len(a.hosts), err)
		}
	}
	if path = strings.Trim(path, "/"); path != "" {
		if a.redis.db, err = strconv.Atoi(path); err != nil || a.redis.db < 0 || a.redis.db > 1<<20 {
			return a, fmt.Errorf("%s: the path is no number of a database: expected one such as /0", k)
		}
		if k == cluster && a.redis.db != 0 {
			return a, fmt.Errorf("%s: database %d: expected /0 or none, as a Cluster has no other", k, a.redis.db)
		}
	}
	if err := a.options(query); err != nil {
		return a, err
	}
	return a, a.checkRedis()
}

func (a *Address) checkRedis() error {
	if a.kind == sentinel && a.set["master"] == "" {
		return fmt.Errorf("%s: no master: expected the option master with the name that Sentinel watches, such as ?master=mymaster", a.kind)
	}
	if text, ok := a.set["replicas"]; ok {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 100 {
			return fmt.Errorf("%s: option replicas: expected a number from 1 to 100", a.kind)
		}
	}
	if text, ok := a.set["replicas-timeout"]; ok {
		if _, both := a.set["replicas"]; !both {
			return fmt.Errorf("%s: option replicas-timeout: expected it beside the option replicas only", a.kind)
		}
		if d, err := time.ParseDuration(text); err != nil || d < time.Millisecond {
			return fmt.Errorf("%s: option replicas-timeout: expected a duration of 1ms or more, such as 500ms", a.kind)
		}
	}
	return nil
}

func parseSQS(secure bool, rest string) (Address, error) {
	a := Address{kind: amazon, secure: secure}
	authority, path, query, err := split("sqs", rest)
	if err != nil {
		return a, err
	}
	if strings.ContainsRune(authority, '@') {
		return a, errors.New("sqs: the address has a user or a password: expected none, as AWS credentials come from the environment")
	}
	port := "443"
	if !secure {
		port = "80"
	}
	host, err := hostPort(authority, port)
	if err != nil {
		return a, fmt.Errorf("sqs: host: %w", err)
	}
	if secure {
		host = strings.TrimSuffix(host, ":443")
	}
	a.hosts, a.path = []string{host}, path
	if parts := strings.Split(path, "/"); len(parts) != 3 || parts[1] == "" || !strings.HasSuffix(path, ".fifo") {
		return a, errors.New("sqs: the path names no FIFO queue: expected /ACCOUNT/NAME.fifo")
	}
	if err := a.options(query); err != nil {
		return a, err
	}
	if text, ok := a.set["ledger"]; ok {
		ledger, err := parse(text)
		if err != nil {
			return a, fmt.Errorf("sqs: option ledger: %w", err)
		}
		if ledger.kind == amazon {
			return a, errors.New("sqs: option ledger: an SQS queue keeps no jobs: expected the address of a file or of a Redis")
		}
		a.ledger = &ledger
	}
	if a.Region() == "" {
		return a, errors.New("sqs: the host names no region: expected sqs.REGION.amazonaws.com, or the option region")
	}
	return a, nil
}

// Region returns the AWS region of an SQS queue; "": it is another engine's address.
func (a Address) Region() string {
	if region := a.set["region"]; region != "" || a.kind != amazon {
		return region
	}
	// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
	parts := strings.Split(a.hosts[0], ".")
	if len(parts) >= 4 && parts[0] == "sqs" && parts[2] == "amazonaws" {
		return parts[1]
	}
	return ""
}

// split takes //authority/path?query apart. A password with a character that should have been
// escaped must not get into the other parts, from which errors quote.
func split(scheme, rest string) (authority, path, query string, err error) {
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return "", "", "", fmt.Errorf("%s: expected // behind the colon", scheme)
	}
	rest, query, _ = strings.Cut(rest, "?")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest, path = rest[:i], rest[i:]
	}
	if strings.ContainsRune(path, '@') || strings.ContainsRune(rest+path, '#') || scheme != "sqs" && strings.ContainsAny(query, "@#") {
		return "", "", "", fmt.Errorf("%s: an @ stands behind the host, or there is a #: in a password / is written %%2F, ? is %%3F, # is %%23 and @ is %%40", scheme)
	}
	return rest, path, query, nil
}

// hostPort checks one host, and adds the port if it has none.
func hostPort(text, port string) (string, error) {
	name, rest := text, ""
	if strings.HasPrefix(text, "[") { // IPv6
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return "", errors.New("a bracket is not closed: expected an IPv6 address such as [::1]")
		}
		name, rest = text[:end+1], text[end+1:]
	} else if i := strings.IndexByte(text, ':'); i >= 0 {
		name, rest = text[:i], text[i:]
	}
	inside := strings.Trim(name, "[]")
	if inside == "" {
		return "", errors.New("it has no name: expected HOST or HOST:PORT")
	}
	if strings.ContainsFunc(inside, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:%", r))
	}) || inside != name && !strings.ContainsRune(inside, ':') {
		return "", errors.New("its name has a character that no host has: expected HOST or HOST:PORT")
	}
	if rest == "" {
		return name + ":" + port, nil
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(rest, ":"), 10, 16); err != nil || n == 0 || rest[0] != ':' {
		return "", errors.New("its port is no number from 1 to 65535: expected HOST:PORT; a password is followed by @")
	}
	return name + rest, nil
}

// options reads the part behind the question mark. Errors name no value.
func (a *Address) options(query string) error {
	a.set = map[string]string{}
	var known []string
	for _, o := range Options() {
		if slices.Contains(o.Schemes, string(a.kind)) {
			known = append(known, o.Name)
		}
	}
	for query != "" {
		var pair string
		// What is behind ledger= is an address with options of its own.
		if pair = query; strings.HasPrefix(query, "ledger=") {
			query = ""
		} else {
			pair, query, _ = strings.Cut(query, "&")
		}
		name, value, _ := strings.Cut(pair, "=")
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s: an option is not known: expected %s", a.kind, strings.Join(known, ", "))
		}
		if _, twice := a.set[name]; twice {
			return fmt.Errorf("%s: option %s is given twice", a.kind, name)
		}
		if name != "ledger" {
			var err error
			if value, err = url.QueryUnescape(value); err != nil {
				return fmt.Errorf("%s: option %s: a %% begins no escape", a.kind, name)
			}
		}
		if value == "" {
			return fmt.Errorf("%s: option %s is empty", a.kind, name)
		}
		a.set[name] = value
	}
	return nil
}

// String returns the address without user and password. An address that has a password has xxxxx
// in its place. The zero Address is "".
func (a Address) String() string {
	if a.kind == "" {
		return ""
	}
	if a.kind == sqlite {
		return "sqlite:" + a.path
	}
	var b strings.Builder
	switch {
	case a.kind == amazon && !a.secure:
		b.WriteString("sqs+http")
	case a.kind != amazon && a.secure:
		b.WriteString("rediss" + strings.TrimPrefix(string(a.kind), "redis"))
	default:
		b.WriteString(string(a.kind))
	}
	b.WriteString("://")
	if a.redis.user != "" || a.redis.password != "" {
		b.WriteString("xxxxx@")
	}
	b.WriteString(strings.Join(a.hosts, ","))
	if a.kind == amazon {
		b.WriteString(a.path)
	} else {
		fmt.Fprintf(&b, "/%d", a.redis.db)
	}
	sep := byte('?')
	for _, o := range Options() { // ledger's value is the last, as all behind it belongs to it
		if value, ok := a.set[o.Name]; ok && o.Name != "ledger" {
			b.WriteByte(sep)
			b.WriteString(o.Name + "=" + url.QueryEscape(value))
			sep = '&'
		}
	}
	if a.ledger != nil {
		b.WriteByte(sep)
		b.WriteString("ledger=" + a.ledger.String())
	}
	return b.String()
}
