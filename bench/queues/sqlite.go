package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"modernc.org/sqlite" // the driver that all engines use
)

var errNothingWaits = errors.New("nothing waits")

// openSQLite opens a database as the peers' documentation advises, which leaves opening
// to the program. There is one connection, as SQLite has one writer, a log (WAL), and an
// fsync for every commit. It is an fdatasync, as pacer's engine has it for the whole process.
func openSQLite(path string) (*sql.DB, error) {
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var journal string
	var synchronous int
	if err := errors.Join(db.QueryRow(`PRAGMA journal_mode`).Scan(&journal), db.QueryRow(`PRAGMA synchronous`).Scan(&synchronous)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if journal != "wal" || synchronous != 2 {
		return nil, errors.Join(fmt.Errorf("journal_mode %s, synchronous %d: expected wal and 2 (FULL)", journal, synchronous), db.Close())
	}
	return db, nil
}

// plainClient is what the peers' workers send with: twilio-go as it is.
func plainClient(ctx context.Context, transport http.RoundTripper) *twilio.RestClient {
	return clients.Plain(ctx, credentials(transport))
}

func credentials(transport http.RoundTripper) clients.Setup {
	return clients.Setup{User: twiliotest.AccountSid, Password: twiliotest.AuthToken, Transport: transport}
}
