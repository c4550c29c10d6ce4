package engineurl_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
)

func TestAddressesAreReadAsTheyAreShown(t *testing.T) {
	for address, shown := range map[string]string{
		"sqlite:queue.db":                                                      "sqlite:queue.db",
		"sqlite:/var/lib/pacer/a b.db":                                         "sqlite:/var/lib/pacer/a b.db",
		"sqlite:///var/lib/pacer.db":                                           "sqlite:/var/lib/pacer.db",
		`sqlite:C:\pacer\queue.db`:                                             `sqlite:C:\pacer\queue.db`,
		"redis://localhost":                                                    "redis://localhost:6379/0",
		"rediss://u:p%40ss@h:1/2":                                              "rediss://xxxxx@h:1/2",
		"redis://:geheim@[::1]/3":                                              "redis://xxxxx@[::1]:6379/3",
		"redis://u@h?name=sms":                                                 "redis://xxxxx@h:6379/0?name=sms",
		"redis://h?replicas-timeout=200ms&replicas=2":                          "redis://h:6379/0?replicas=2&replicas-timeout=200ms",
		"redis+sentinel://a,b:2/1?master=m%26m":                                "redis+sentinel://a:26379,b:2/1?master=m%26m",
		"rediss+cluster://a:1,b:2":                                             "rediss+cluster://a:1,b:2/0",
		"sqs://sqs.eu-central-1.amazonaws.com/123456789012/p.fifo":             "sqs://sqs.eu-central-1.amazonaws.com/123456789012/p.fifo",
		"sqs+http://127.0.0.1:4566/0/p.fifo?region=x&ledger=sqlite:a.db":       "sqs+http://127.0.0.1:4566/0/p.fifo?region=x&ledger=sqlite:a.db",
		"sqs://h/1/p.fifo?region=x&ledger=redis://:geheim@h?name=n&replicas=1": "sqs://h/1/p.fifo?region=x&ledger=redis://xxxxx@h:6379/0?name=n&replicas=1",
	} {
		a, err := engineurl.Parse(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if a.String() != shown {
			t.Errorf("%s is shown as %s, expected %s", address, a, shown)
		}
	}
}

func TestErrorsNameWhatIsWrongInAnAddress(t *testing.T) {
	for address, want := range map[string]string{
		"":                              "is empty",
		"queue.db":                      "no scheme: expected sqlite:PATH",
		"postgres://h/db":               "the scheme is not known",
		"sqlite:":                       "names no file",
		"sqlite:dir/":                   "names no file",
		"sqlite://queue.db":             "sqlite:///PATH",
		"sqlite::memory:":               "keep nothing",
		"sqlite:a.db?mode=ro":           "no options",
		"redis:localhost":               "expected //",
		"redis://":                      "has no name",
		"redis://a,b":                   "several hosts",
		"redis://h:0":                   "1 to 65535",
		"redis://h:port":                "1 to 65535",
		"redis://[::1":                  "bracket",
		"redis://h/zero":                "number of a database",
		"redis://h?nmae=x":              "expected name, replicas, replicas-timeout",
		"redis://h?name=a&name=b":       "given twice",
		"redis://h?name=":               "is empty",
		"redis://h?replicas=many":       "1 to 100",
		"redis://h?replicas-timeout=1s": "beside the option replicas",
		"redis://h?replicas=1&replicas-timeout=1": "a duration",
		"redis+sentinel://h":                      "no master",
		"redis+cluster://h/1":                     "no other",
		"redis://u:50%@h":                         "expected %25",
		"redis://:gehe/im@h":                      "/ is written %2F",
		"redis://:gehe?im@h":                      "? is %3F",
		"redis://:gehe#im@h":                      "# is %23",
		"redis://:geheim":                         "it has no name",
		"sqs://sqs.eu-central-1.amazonaws.com":    "/ACCOUNT/NAME.fifo",
		"sqs://h/1/p.fifo":                        "no region",
		"sqs://k:geheim@h/1/p.fifo":               "AWS credentials come from the environment",
		"sqs://h/1/p.fifo?region=x&ledger=sqs://h/1/q.fifo?region=x": "keeps no jobs",
		"sqs://h/1/p.fifo?region=x&ledger=redis://:geheim":           "option ledger: redis: host 1 of 1",
		"redis://h\n":                          "control character",
		"redis://" + strings.Repeat("h", 5000): "at most 4096",
	} {
		_, err := engineurl.Parse(address)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "engineurl: ") {
			t.Errorf("%.60q: %v, expected an error with %q", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "gehe") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestOptionsOfRedis(t *testing.T) {
	a, err := engineurl.Parse("rediss+sentinel://user:p%2Fw@a:1,b/4?master=m")
	if err != nil {
		t.Fatal(err)
	}
	o := a.Redis()
	if !slices.Equal(o.Addrs, []string{"a:1", "b:26379"}) || o.DB != 4 || o.Username != "user" || o.Password != "p/w" || o.MasterName != "m" || o.TLSConfig == nil {
		t.Error(o)
	}
	c, err := engineurl.Parse("redis+cluster://a")
	if err != nil || !c.Redis().IsClusterMode || c.Redis().TLSConfig != nil {
		t.Error(c.Redis(), err)
	}
	if s, err := engineurl.Parse("sqlite:q.db"); err != nil || s.Redis() != nil || s.Path() != "q.db" {
		t.Error(s, err)
	}
}

func TestEachOptionIsDocumented(t *testing.T) {
	for _, o := range engineurl.Options() {
		if o.Name == "" || len(o.Schemes) == 0 || o.Means == "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestOpenMakesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	e, err := engineurl.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	works(t, e)
	if _, err := engineurl.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none", "queue.db")); err == nil {
		t.Error("a directory that is not there is no error")
	}
	if _, err := (engineurl.Address{}).Open(t.Context()); err == nil {
		t.Error("the zero Address can be opened")
	}
}

func TestOpenSaysThatRedisIsNotThere(t *testing.T) {
	redis.SetLogger(silent{})
	_, err := engineurl.Open(t.Context(), "redis://:geheim@127.0.0.1:1/0")
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Error(err)
	}
}

func TestSQSNeedsCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	_, err := engineurl.Open(t.Context(), "sqs+http://127.0.0.1:1/0/p.fifo?region=x")
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Error(err)
	}
}

// silent is for go-redis, which says on standard error that a server is gone.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// works closes an engine that answers.
func works(t *testing.T, e queue.Engine) {
	t.Helper()
	if _, err := e.Stats(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// An address with a password: whatever stands around it, neither the error nor what is shown has it.
func FuzzParse(f *testing.F) {
	for _, s := range [][2]string{
		{"redis://u:", "@h:6379/0"}, {"redis://:", ""}, {"redis://:", "/x@h"}, {"redis+sentinel://:", "?@h?master=m"},
		{"sqs://h/1/p.fifo?region=x&ledger=redis://:", "@h?name=n"}, {"sqs://k:", "@h"}, {"redis://h?name=", "@x"}, {":", ""}, {"rediss+cluster://[::1]:", "@"},
	} {
		f.Add(s[0], s[1])
	}
	const password = "Gehe1mesWort"
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + password + after
		a, err := engineurl.Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), password) {
				t.Errorf("%q: the error shows the password: %v", text, err)
			}
			return
		}
		shown := a.String()
		again, err := engineurl.Parse(shown)
		if err != nil || again.String() != shown {
			t.Errorf("%q is shown as %q, which is read as %q, %v", text, shown, again, err)
		}
		if o := a.Redis(); o != nil && o.Password == password && strings.Contains(shown, password) {
			t.Errorf("%q is shown with the password: %q", text, shown)
		}
	})
}
