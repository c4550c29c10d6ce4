package sqlitequeue

// application is what PRAGMA application_id says of a queue's file: "pacr".
const application = 0x70616372

// migrations are what makes a file of version n one of version n+1, each in one
// transaction. What has been released is never changed: only added to.
var migrations = []string{
	// States are kept as words, and a row carries two sums: sum of what never changes,
	// mark of what does. Times are microseconds since 1970, 0 for none. An index on a
	// column that is constant where the index applies is in the order of seq.
	`
CREATE TABLE lanes(
	id INTEGER PRIMARY KEY,
	key TEXT NOT NULL UNIQUE,
	campaign TEXT NOT NULL,
	bucket TEXT NOT NULL,
	sum INTEGER NOT NULL DEFAULT 0,
	high INTEGER NOT NULL DEFAULT 0,
	normal INTEGER NOT NULL DEFAULT 0,
	low INTEGER NOT NULL DEFAULT 0,
	delayed INTEGER NOT NULL DEFAULT 0,
	sending INTEGER NOT NULL DEFAULT 0,
	in_doubt INTEGER NOT NULL DEFAULT 0,
	sent INTEGER NOT NULL DEFAULT 0,
	failed INTEGER NOT NULL DEFAULT 0,
	cancelled INTEGER NOT NULL DEFAULT 0,
	arrived INTEGER NOT NULL DEFAULT 0,
	departed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX lanes_ready ON lanes(id) WHERE high + normal + low > 0;
CREATE INDEX lanes_campaign ON lanes(campaign) WHERE campaign <> '';

CREATE TABLE jobs(
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	lane INTEGER NOT NULL,
	priority INTEGER NOT NULL,
	request BLOB NOT NULL,
	labels TEXT NOT NULL,
	key TEXT NOT NULL,
	created INTEGER NOT NULL,
	deadline INTEGER NOT NULL,
	sum INTEGER NOT NULL,
	state TEXT NOT NULL,
	due INTEGER NOT NULL,
	attempts INTEGER NOT NULL DEFAULT 0,
	claim INTEGER NOT NULL DEFAULT 0,
	began INTEGER NOT NULL DEFAULT 0,
	lease INTEGER NOT NULL DEFAULT 0,
	looks INTEGER NOT NULL DEFAULT 0,
	look INTEGER NOT NULL DEFAULT 0,
	finished INTEGER NOT NULL DEFAULT 0,
	reported INTEGER NOT NULL DEFAULT 0,
	sid TEXT NOT NULL DEFAULT '',
	status INTEGER NOT NULL DEFAULT 0,
	code INTEGER NOT NULL DEFAULT 0,
	reason TEXT NOT NULL DEFAULT '',
	response BLOB NOT NULL DEFAULT x'',
	mark INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_ready ON jobs(lane, priority DESC, due) WHERE state = 'ready';
CREATE INDEX jobs_due ON jobs(due) WHERE state = 'delayed';
CREATE INDEX jobs_delayed ON jobs(lane) WHERE state = 'delayed';
CREATE INDEX jobs_lease ON jobs(lease) WHERE state = 'sending';
CREATE INDEX jobs_deadline ON jobs(deadline) WHERE deadline > 0 AND state IN ('ready', 'delayed');
CREATE INDEX jobs_finished ON jobs(finished) WHERE finished > 0;
CREATE INDEX jobs_unreported ON jobs(reported) WHERE reported = 0 AND state IN ('sent', 'failed');
CREATE INDEX jobs_rare ON jobs(state) WHERE state IN ('sending', 'in doubt', 'failed', 'cancelled');

CREATE TABLE uniques(key TEXT PRIMARY KEY, id TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE schedules(name TEXT PRIMARY KEY, next INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE documents(name TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`,
	// What a callback of Twilio's names is its SID.
	`
CREATE TABLE parks(bucket TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_sid ON jobs(sid) WHERE sid <> '';
`,
	// An index on a condition of the counters would be written whenever one of them changes. An
	// index on a flag is written only when the flag changes, which saves most commits a page.
	`
ALTER TABLE lanes ADD COLUMN ready INTEGER NOT NULL DEFAULT 0;
UPDATE lanes SET ready = 1 WHERE high + normal + low > 0;
DROP INDEX lanes_ready;
CREATE INDEX lanes_ready ON lanes(id) WHERE ready = 1;
`,
	// Why a bucket is held, and since when.
	`
ALTER TABLE parks ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE parks ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE parks ADD COLUMN code INTEGER NOT NULL DEFAULT 0;
`,
}
