package engineurl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

// An Option changes how an address is opened.
type Option func(*opening)

// An opening is what the options set.
type opening struct {
	logger *slog.Logger
	sqs    func(ctx context.Context, region, endpoint string) (*sqs.Client, error)
}

// WithLogger sets where engines log their warnings, such as a Redis that keeps nothing on its disk.
// nil is slog.Default, which is the default.
func WithLogger(l *slog.Logger) Option {
	return func(o *opening) {
		if l != nil {
			o.logger = l
		}
	}
}

// WithSQS sets how a client of SQS is made. endpoint is "" for AWS itself, else an emulator's URL. By
// default credentials are those of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN in the
// environment. A program whose credentials come from a role gives a function that uses AWS's
// package config, which this module does not require.
func WithSQS(client func(ctx context.Context, region, endpoint string) (*sqs.Client, error)) Option {
	return func(o *opening) {
		if client != nil {
			o.sqs = client
		}
	}
}

// Open parses an address and opens its engine. See [Address.Open].
func Open(ctx context.Context, address string, opts ...Option) (queue.Engine, error) {
	a, err := Parse(address)
	if err != nil {
		return nil, err
	}
	return a.Open(ctx, opts...)
}

// Open opens the engine at the address. ctx is for Open alone. The engine's Close closes all that Open has
// opened. A file that is not there is made; a server has to be there. Errors are those of the
// engine's package, which names what to do, and have no password.
func (a Address) Open(ctx context.Context, opts ...Option) (queue.Engine, error) {
	o := opening{logger: slog.Default(), sqs: environmentSQS}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	switch a.kind {
	case sqlite:
		e, err := sqlitequeue.Open(a.path)
		if err != nil {
			return nil, err
		}
		return e, nil
	case single, sentinel, cluster:
		return a.openRedis(ctx, &o)
	case amazon:
		return a.openSQS(ctx, &o)
	}
	return nil, errors.New("engineurl: Open: the zero Address: expected one that Parse has returned")
}

// onRedis is an engine whose connections end with it.
type onRedis struct {
	*redisqueue.Engine
	rdb redis.UniversalClient
}

func (e onRedis) Close() error { return errors.Join(e.Engine.Close(), e.rdb.Close()) }

func (a Address) openRedis(ctx context.Context, o *opening) (queue.Engine, error) {
	opts := []redisqueue.Option{redisqueue.WithLogger(o.logger)}
	if name, ok := a.set["name"]; ok {
		opts = append(opts, redisqueue.Name(name))
	}
	if text, ok := a.set["replicas"]; ok {
		n, _ := strconv.Atoi(text) // Parse has checked both
		timeout := time.Second
		if text, ok := a.set["replicas-timeout"]; ok {
			timeout, _ = time.ParseDuration(text)
		}
		opts = append(opts, redisqueue.Replicas(n, timeout))
	}
	rdb := redis.NewUniversalClient(a.Redis())
	e, err := redisqueue.Open(ctx, rdb, opts...)
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return onRedis{e, rdb}, nil
}

// Redis returns go-redis's options for an address of Redis, for instance for redispacer.New; nil: it is
// the address of another engine. The options are the caller's own, and hold the password.
func (a Address) Redis() *redis.UniversalOptions {
	if a.kind != single && a.kind != sentinel && a.kind != cluster {
		return nil
	}
	opts := &redis.UniversalOptions{
		Addrs: append([]string(nil), a.hosts...), DB: a.redis.db, Username: a.redis.user, Password: a.redis.password,
		MasterName: a.set["master"], IsClusterMode: a.kind == cluster,
	}
	if a.secure {
		opts.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return opts
}

// Path returns the path of the SQLite file; "": it is the address of another engine.
func (a Address) Path() string {
	if a.kind != sqlite {
		return ""
	}
	return a.path
}

// openSQS opens the ledger first, which the engine closes.
func (a Address) openSQS(ctx context.Context, o *opening) (queue.Engine, error) {
	scheme, endpoint := "https", ""
	if !a.secure {
		scheme = "http"
		endpoint = "http://" + a.hosts[0]
	}
	client, err := o.sqs(ctx, a.Region(), endpoint)
	if err != nil {
		return nil, fmt.Errorf("engineurl: sqs: %w", err)
	}
	var ledger queue.Engine
	if a.ledger != nil {
		if ledger, err = a.ledger.Open(ctx, WithLogger(o.logger)); err != nil {
			return nil, fmt.Errorf("engineurl: sqs: ledger: %w", err)
		}
	}
	e, err := sqsqueue.Open(ctx, client, scheme+"://"+a.hosts[0]+a.path, ledger, sqsqueue.WithLogger(o.logger))
	if err != nil {
		if ledger != nil {
			err = errors.Join(err, ledger.Close())
		}
		return nil, err
	}
	return e, nil
}

// environmentSQS makes a client with the keys in the environment.
func environmentSQS(_ context.Context, region, endpoint string) (*sqs.Client, error) {
	keys := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment",
	}
	if keys.AccessKeyID == "" || keys.SecretAccessKey == "" {
		return nil, errors.New("no credentials: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment; a program whose credentials come from a role uses engineurl.WithSQS")
	}
	cfg := aws.Config{
		Region:      region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil }),
	}
	if endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return sqs.NewFromConfig(cfg), nil
}
