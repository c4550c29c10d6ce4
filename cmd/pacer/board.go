package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/dashboard"
)

// A board is the dashboard that a worker serves: on an address of its own, or beside /healthz.
type board struct {
	address  string // "auto", "off", or an address of its own
	token    string // "": none
	insecure bool
	shared   bool // the limits are those of all processes

	limitsFile string // that is watched; "": none is

	handler  *dashboard.Dashboard // nil: there is none
	listener net.Listener         // nil: it has no address of its own
}

const boardPath = "/dashboard/"

// open makes the dashboard. kept says how long a change of the limits is in force. beside is the address of /healthz.
func (b *board) open(q *queue.Queue, client *pacer.Client, kept, beside string, log *slog.Logger) (err error) {
	switch b.address {
	case "off":
		return nil
	case "auto":
		if beside == "off" {
			return nil
		}
		if dashboard.CheckListen(beside, b.token, b.insecure) != nil {
			log.Info("pacer worker: no dashboard, since other machines reach "+beside+": expected a token in PACER_DASHBOARD_TOKEN, or --dashboard", "listen", beside)
			return nil //nolint:nilerr // the worker runs without a dashboard that nobody has asked for
		}
	default:
		if err := dashboard.CheckListen(b.address, b.token, b.insecure); err != nil {
			return usage("--dashboard: %w", err)
		}
		if b.listener, err = net.Listen("tcp", b.address); err != nil {
			return err
		}
	}
	opts := []dashboard.Option{dashboard.WithLog(log), dashboard.WithLimits(client, kept), dashboard.WithStats(client.Stats)}
	if b.shared {
		opts = append(opts, dashboard.WithSharedLimits())
	}
	if b.limitsFile != "" {
		opts = append(opts, dashboard.WithLimitsFile(absolute(b.limitsFile)))
	}
	if b.token != "" {
		opts = append(opts, dashboard.WithToken(b.token))
	}
	if b.insecure {
		opts = append(opts, dashboard.WithInsecure())
	}
	b.handler, err = dashboard.New(q, opts...)
	if err != nil && b.listener != nil {
		_ = b.listener.Close() // nothing was served
	}
	return err
}

// mount adds the dashboard to what is served beside it, unless it has an address of its own.
func (b *board) mount(mux *http.ServeMux) {
	if b.handler != nil && b.listener == nil {
		mux.Handle(boardPath, http.StripPrefix(boardPath[:len(boardPath)-1], b.handler))
		mux.Handle("GET /{$}", http.RedirectHandler(boardPath, http.StatusFound))
	}
}

// serve serves the dashboard on its own address, if it has one, until ctx ends.
func (b *board) serve(ctx context.Context, log *slog.Logger) {
	if b.listener == nil {
		return
	}
	if err := serve(ctx, b.listener, b.handler, answersWithin); err != nil {
		log.Error("pacer worker: the dashboard is not served any more", "error", err)
	}
}

// at returns the dashboard's address for people. beside is that of /healthz.
func (b *board) at(beside string) string {
	switch {
	case b.handler == nil:
		return "off"
	case b.listener == nil:
		return "http://" + beside + boardPath
	}
	return "http://" + b.listener.Addr().String() + "/"
}

func (b *board) close() error {
	if b.handler == nil {
		return nil
	}
	return b.handler.Close()
}

// limitsKept ends the sentence "A change is in force ..." on the dashboard.
func (a *app) limitsKept() string {
	switch {
	case a.share != "":
		return "in all processes that share the limits, and stays"
	case a.limitsFile != "":
		return "until the worker restarts or its file changes. To keep it, write it into " + absolute(a.limitsFile) + ", with whole numbers in place of masked ones"
	}
	return "until the worker restarts. To keep it, start the worker with a file of limits"
}
