// Package sqlitequeue keeps a [queue.Engine]'s jobs in one SQLite file: no server, and
// several processes of one machine may use the same file.
//
// What a call has returned is on the disk (synchronous=FULL), and outlives the end of the
// process and of the machine. The file belongs on a local disk: locks of network file
// systems do not hold. It holds phone numbers and texts, and is made readable by its
// owner only.
//
// Processes that write to the same file write one after the other, one commit each. They lock a
// file with -turn at the end of its name, which holds nothing. So a busy process does not keep
// a quiet one waiting. A process that was stopped while it has the lock is passed over after a
// second.
//
// Rows carry checksums. A job that the disk has changed is not sent but Failed, or in doubt,
// with ReasonDamaged. So is what waits in a lane whose row has changed. All others go on. If
// SQLite cannot read a page, that is ErrDamaged. No checksums cover the counters that Stats
// shows, the keys of Unique, the holds of buckets, and schedules. Only [Engine.Check] sees that
// jobs have vanished altogether. If a -wal is damaged before SQLite reads it again after a
// crash, what follows the damage is lost. No checksum of a row can tell.
package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// busyTimeout is how long another process's transaction is waited for.
const busyTimeout = 10 * time.Second

// journalPause is how long another process's change of the journal is waited for at a time.
const journalPause = 50 * time.Millisecond

// oldestLibrary is the first that does not lose commits when the WAL is reset while two
// connections are open; 3.7.0 to 3.51.2 may.
const oldestLibrary = 3_051_003

// An Engine is a [queue.Engine] on one SQLite file. It is safe for concurrent use. Calls that
// write at the same time share a transaction. A call whose context ends before it is in a
// transaction has done nothing. After that, the call waits for the commit.
type Engine struct {
	location
	connections
	ops
	calls *engine.Calls
	news  *engine.News
	lanes sync.Map // of laneRow to queue.Lane: the rows that were read and checked
}

// connections are an engine's connections to the file, and what is prepared on them.
type connections struct {
	db         *sql.DB // of the one connection that writes
	writer     *sql.Conn
	statements map[string]*sql.Stmt // the writer's
	seen       int64                // what version returned last
	readers    *sql.DB
	prepared   sync.Map // of text to *sql.Stmt, the readers'
}

// pkg begins the errors of this package.
const pkg engine.Package = "sqlitequeue"

var _ queue.Engine = (*Engine)(nil)

// An Option changes how a file is opened.
type Option func(*Engine)

// WithoutSync leaves out what makes commits outlive the machine, and the check that the
// file is still there. It is for tests, which it makes fast.
func WithoutSync() Option { return func(e *Engine) { e.nosync = true } }

// opening is held while a file is opened. So a file that this process has just made is not
// closed while another engine has it locked. When any descriptor of a file is closed, POSIX
// drops all the process's locks on the file. For the same reason nothing but SQLite opens the
// file.
var opening sync.Mutex

// Open opens the queue in the file path, which it makes if there is none; the directory has to
// exist. The path may be a symbolic link. The file is readable by its owner only. A file that
// was there with other rights is given mode 0600 (not on Windows). If that is not permitted,
// Open fails. The error wraps [queue.ErrDamaged] if the file cannot be read, and
// [queue.ErrOutdated] if a newer version has changed it. A file that is not a queue's is an
// error, too. The caller must call [Engine.Close].
//
// What retention deletes is overwritten in the file (PRAGMA secure_delete). The -wal holds
// it for longer: until SQLite overwrites that place or the last engine is closed.
//
// Open has SQLite commit with fdatasync where there is one, as the builds of Linux
// distributions do. This applies to the whole process. It is as durable as fsync, and often
// sooner. A program that may not call it (seccomp) calls sqlite.Fdatasync(false) of
// modernc.org/sqlite after Open.
func Open(path string, opts ...Option) (*Engine, error) {
	opening.Lock()
	defer opening.Unlock()
	e := &Engine{
		location: location{given: path}, connections: connections{statements: map[string]*sql.Stmt{}},
		ops: ops{lock: make(chan struct{}, 1)}, calls: engine.NewCalls(),
	}
	e.news = engine.NewNews(e.calls, e.lock, e.lookAround)
	for _, o := range opts {
		o(e)
	}
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.shut())
	}
	return e, nil
}

func (e *Engine) open() error {
	if n := lib.SQLITE_VERSION_NUMBER; n < oldestLibrary {
		return fmt.Errorf("sqlitequeue: SQLite %s can lose commits: use a modernc.org/sqlite that has 3.51.3 or later", lib.SQLITE_VERSION)
	}
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return fmt.Errorf("sqlitequeue: %w", err)
	}
	if err := e.resolve(); err != nil {
		return err
	}
	if err := e.create(); err != nil {
		return err
	}
	ctx := context.Background()
	var err error
	e.db, err = e.connect("")
	if err != nil {
		return err
	}
	e.db.SetMaxOpenConns(1)
	if e.writer, err = e.db.Conn(ctx); err != nil {
		return e.explain(err)
	}
	if err := e.prepare(ctx); err != nil {
		return e.explain(err)
	}
	if e.readers, err = e.connect("query_only(1)"); err != nil {
		return err
	}
	const readers = 2
	e.readers.SetMaxOpenConns(readers)
	e.readers.SetMaxIdleConns(readers)
	if e.others, err = openTurnstile(e.path); err != nil {
		return err
	}
	// From now on patiently waits, and not SQLite.
	if _, err := e.writer.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return e.explain(err)
	}
	if e.seen, err = e.version(); err != nil {
		return e.explain(err)
	}
	if e.wal, err = os.Stat(e.path + "-wal"); err != nil {
		return fmt.Errorf("sqlitequeue: %s: SQLite has made no -wal: %w", e.path, err)
	}
	return nil
}

// connect returns a pool of connections to the file.
func (e *Engine) connect(pragma string) (*sql.DB, error) {
	p := filepath.ToSlash(e.path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // of Windows: C:/...
	}
	q := url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}}
	if pragma != "" {
		q.Add("_pragma", pragma)
	}
	u := url.URL{Scheme: "file", Path: p, RawQuery: q.Encode()}
	c, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, fmt.Errorf("sqlitequeue: opening %s: %w", e.path, err)
	}
	return sql.OpenDB(c), nil
}

// prepare makes the file a queue of this version.
func (e *Engine) prepare(ctx context.Context) error {
	if _, err := e.identify(ctx); err != nil {
		return err // before anything of another program's file is changed
	}
	if err := e.private(); err != nil {
		return err
	}
	if err := e.journal(ctx); err != nil {
		return err
	}
	sync := "FULL"
	if e.nosync {
		sync = "OFF"
	}
	for _, p := range []string{"synchronous = " + sync, "cache_size = -8000", "wal_autocheckpoint = 4000", "journal_size_limit = 67108864", "temp_store = MEMORY", "secure_delete = ON"} {
		if _, err := e.writer.ExecContext(ctx, "PRAGMA "+p); err != nil {
			return err
		}
	}
	for {
		version, err := e.identify(ctx)
		if err != nil || version == len(migrations) {
			return err
		}
		if err := e.migrate(ctx, version); err != nil {
			return err
		}
	}
}

// identify returns the version of the file's schema: 0, it is empty.
func (e *Engine) identify(ctx context.Context) (version int, err error) {
	var app, tables int
	if err := e.writer.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").
		Scan(&app, &version, &tables); err != nil {
		return 0, err
	}
	switch {
	case app == application && version > len(migrations):
		return 0, e.outdated(version)
	case app == application && version > 0, app == 0 && version == 0 && tables == 0:
		return version, nil
	}
	return 0, fmt.Errorf("sqlitequeue: %s is another program's SQLite database: name another file", e.path)
}

// outdated is the error for a file of a newer version.
func (e *Engine) outdated(version int) error {
	return fmt.Errorf("sqlitequeue: %s is of version %d, and this program knows %d: %w", e.path, version, len(migrations), queue.ErrOutdated)
}

// journal turns the WAL on. SQLite does not wait for another process that does the same.
func (e *Engine) journal(ctx context.Context) error {
	for start := time.Now(); ; time.Sleep(journalPause) {
		var mode string
		err := e.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		var s *sqlite.Error
		if errors.As(err, &s) && s.Code()&0xff == lib.SQLITE_BUSY && time.Since(start) < busyTimeout {
			continue
		}
		if err == nil && mode != "wal" {
			err = fmt.Errorf("sqlitequeue: %s: SQLite keeps no WAL there (%s): put it on a local disk", e.path, mode)
		}
		return err
	}
}

// migrate makes of a file of a version one of the next, unless another process has done
// it in the meantime.
func (e *Engine) migrate(ctx context.Context, version int) error {
	if _, err := e.writer.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := func() error {
		if v, err := e.identify(ctx); err != nil || v != version {
			return err
		}
		_, err := e.writer.ExecContext(ctx, fmt.Sprintf("%s; PRAGMA application_id = %d; PRAGMA user_version = %d", migrations[version], application, version+1))
		return err
	}()
	if err == nil {
		_, err = e.writer.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = e.writer.ExecContext(ctx, "ROLLBACK")
		return fmt.Errorf("sqlitequeue: making version %d of %s: %w", version+1, e.path, err)
	}
	return nil
}

// readStatement returns a statement of the readers.
func (e *Engine) readStatement(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := e.prepared.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := e.readers.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if other, loaded := e.prepared.LoadOrStore(query, s); loaded {
		return other.(*sql.Stmt), s.Close()
	}
	return s, nil
}

// Close implements [queue.Engine]: what was called before it is done first. The last
// engine of a file leaves no -wal.
func (e *Engine) Close() error {
	if err := e.calls.Close(); err != nil {
		return err
	}
	e.lock <- struct{}{} // from a call of Await
	return e.shut()
}

// shut closes the connections, the writer's last: it moves the WAL into the file.
func (e *Engine) shut() error {
	var errs []error
	if e.readers != nil {
		errs = append(errs, e.readers.Close())
	}
	if e.writer != nil {
		for _, s := range e.statements {
			errs = append(errs, s.Close())
		}
		errs = append(errs, e.writer.Close())
	}
	if e.db != nil {
		errs = append(errs, e.db.Close())
	}
	errs = append(errs, e.others.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlitequeue: closing %s: %w", e.path, err)
	}
	return nil
}
