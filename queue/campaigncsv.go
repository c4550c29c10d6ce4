package queue

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// This file reads a campaign's recipients from CSV, and checks every row before the first is enqueued.

// maxBody is how many characters a message's Body may have:
// https://www.twilio.com/docs/messaging/api/message-resource
const maxBody = 1600

// maxRowErrors is how many bad rows are listed.
const maxRowErrors = 20

// EnqueueCSV stores a message for each row of a file, as [Campaign.Enqueue] does. The first
// line names the columns. The column "to", in upper or lower case, is the recipient. It has a
// phone number in the form of E.164 such as +15005550006, or one behind whatsapp: or rcs:.
// Blanks, brackets, dots and dashes in it are left out, as by [Queue.Enqueue]. What is no
// letter, digit or underscore in the name of another column becomes an underscore.
//
// message is what is sent. Its To comes from the row, so one in message is an error. Its Body
// and ContentVariables are templates of text/template over the row's columns, such as "Hello
// {{.First_Name}}". A column that the file does not have is an error. {{json .name}} is a
// column as a JSON string, for ContentVariables: {"1": {{json .name}}}.
//
// Nothing is enqueued unless every row is good. The file is read twice, so that a bad list is
// put right as a whole before the first message goes out. The error says, for the first 20 bad
// rows, the line, the column, and what was expected; numbers in it are masked. A recipient that
// occurs twice gets the message of the first row, and counts as Known. Of a file of any size
// only a few rows are in memory; one row is at most 1 MiB.
//
// The file is UTF-8 with commas. Lines end with LF, CRLF or CR. A byte order mark and quoted
// fields are understood. Empty rows are skipped, also those of nothing but commas and
// blanks. A file without any other row is an error.
func (c *Campaign) EnqueueCSV(ctx context.Context, r io.ReadSeeker, message *api.CreateMessageParams) (Enqueued, error) {
	done, err := c.enqueueCSV(ctx, r, message)
	if err != nil {
		return done, fmt.Errorf("queue: campaign %q: CSV: %w", c.name, err)
	}
	return done, nil
}

func (c *Campaign) enqueueCSV(ctx context.Context, r io.ReadSeeker, message *api.CreateMessageParams) (Enqueued, error) {
	t, err := newMessageTemplate(message)
	if err != nil {
		return Enqueued{}, err
	}
	begin, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return Enqueued{}, fmt.Errorf("the file is read twice: expected one that can seek, not a pipe: %w", err)
	}
	if err := checkRows(ctx, c.rows(r, t)); err != nil {
		return Enqueued{}, err
	}
	if _, err := r.Seek(begin, io.SeekStart); err != nil {
		return Enqueued{}, err
	}
	return c.enqueue(ctx, c.rows(r, t))
}

// checkRows returns what is wrong with rows.
func checkRows(ctx context.Context, rows iter.Seq2[Job, error]) error {
	var errs []error
	more, n := 0, 0
	for _, err := range rows {
		n++
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && len(errs) < maxRowErrors:
			errs = append(errs, err)
		case err != nil:
			more++
		}
	}
	if n == 0 {
		return errors.New("no row after the line with the names of the columns: expected one for each recipient")
	}
	if len(errs) == 0 {
		return nil
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("and %d rows more", more))
	}
	return fmt.Errorf("nothing was enqueued: %w", errors.Join(errs...))
}

// rows returns a job for each row, or what is wrong with it. It ends after an error that
// makes the rest meaningless.
func (c *Campaign) rows(r io.Reader, t *messageTemplate) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		rec, file := newRecorder(c.queue.account), csv.NewReader(newCSVRecords(r))
		file.ReuseRecord = true
		header, err := readHeader(file)
		if err != nil {
			yield(Job{}, err)
			return
		}
		for {
			record, err := file.Read()
			if err == io.EOF {
				return
			}
			if (err == nil || errors.Is(err, csv.ErrFieldCount)) && emptyRow(record) {
				continue
			}
			if errors.Is(err, csv.ErrFieldCount) {
				line, _ := file.FieldPos(0)
				if !yield(Job{}, fmt.Errorf("line %d: %d columns: expected %d, as in the first line", line, len(record), len(header))) {
					return
				}
				continue
			}
			if err != nil {
				yield(Job{}, csvError(err))
				return
			}
			line, _ := file.FieldPos(0)
			fields := make(map[string]string, len(header))
			for i, name := range header {
				if reason := notUTF8(record[i]); reason != "" && err == nil {
					line, _ = file.FieldPos(i)
					err = fmt.Errorf("column %s: %s", columnName(name, i), reason)
				}
				if name != "" {
					fields[name] = record[i]
				}
			}
			var j Job
			if err == nil {
				j, err = c.row(rec, fields, t)
			}
			if err != nil {
				err = fmt.Errorf("line %d: %w", line, err)
			}
			if !yield(j, err) || errors.As(err, new(template.ExecError)) { // every row would fail like this one
				return
			}
		}
	}
}

// csvError says where the form of a file is wrong, and how to write it.
func csvError(err error) error {
	var where *csv.ParseError
	if !errors.As(err, &where) {
		return err
	}
	line := fmt.Sprintf("line %d", where.Line)
	if where.StartLine != where.Line {
		line = fmt.Sprintf("line %d, in the row that begins in line %d", where.Line, where.StartLine)
	}
	const advice = `put the field in quotes, and write a quote in it twice: "a ""quoted"" word"`
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return fmt.Errorf(`%s: a quote (") in a field that has no quotes around it: %s`, line, advice)
	case errors.Is(err, csv.ErrQuote):
		return fmt.Errorf(`%s: a quote (") is missing, or there is one too many: %s`, line, advice)
	}
	return fmt.Errorf("%s: %w", line, where.Err)
}

// emptyRow reports whether a row has nothing but commas and blanks, as spreadsheets leave
// behind. A lone "" is no empty row: somebody has written a value.
func emptyRow(record []string) bool {
	if len(record) == 1 && record[0] == "" {
		return false
	}
	return !slices.ContainsFunc(record, func(field string) bool { return strings.TrimSpace(field) != "" })
}

func columnName(name string, i int) string {
	if name == "" {
		return strconv.Itoa(i + 1)
	}
	return strconv.Quote(name)
}

// notUTF8 returns why a field cannot be read as UTF-8, and what to do about it; "": it can.
func notUTF8(field string) string {
	const advice = `: expected a file saved as UTF-8; in Excel that is the file type "CSV UTF-8"`
	switch {
	case !utf8.ValidString(field):
		return "not UTF-8" + advice
	case strings.Contains(field, "\x00"):
		return "not UTF-8: it has NUL characters, as UTF-16 does" + advice
	}
	return ""
}

func (c *Campaign) row(rec *recorder, fields map[string]string, t *messageTemplate) (Job, error) {
	to := plain(strings.TrimSpace(fields[toColumn]))
	if to == "" {
		return Job{}, fmt.Errorf("column %q is empty: expected a phone number such as +15005550006", toColumn)
	}
	if !isAddress(to) && !whatsAppUser.MatchString(to) {
		return Job{}, fmt.Errorf("column %q: %s", toColumn, wrongNumber(to))
	}
	params, err := t.params(to, fields)
	if err != nil {
		return Job{}, err
	}
	return c.job(rec, Recipient{ID: to}, func(tw *twilio.RestClient, _ Recipient) error {
		_, err := tw.Api.CreateMessage(params)
		return err
	})
}

// wrongNumber returns why to is no recipient of a file, and what is expected.
func wrongNumber(to string) string {
	const expected = "expected a phone number such as +15005550006, or one with whatsapp: or rcs: before it"
	address := strings.TrimPrefix(strings.TrimPrefix(to, whatsApp), "rcs:")
	reason := wrongReceiver(to)
	switch {
	case strings.ContainsFunc(address, unicode.IsLetter) && !strings.Contains(address, ":"):
		return fmt.Sprintf("%d characters, and some are letters: %s; are the columns in the right order?", utf8.RuneCountInString(to), expected)
	case reason == "":
		return masked(to) + ": " + expected
	}
	return reason
}

const toColumn = "to"

// readHeader returns the names of the columns; "" for one without a name, which
// spreadsheets leave behind.
func readHeader(file *csv.Reader) ([]string, error) {
	record, err := file.Read()
	if err == io.EOF {
		return nil, fmt.Errorf("it is empty: expected a first line with the names of the columns, one of them %q", toColumn)
	}
	if err != nil {
		return nil, csvError(err)
	}
	header := make([]string, len(record))
	seen := make(map[string]bool)
	for i, name := range record {
		if reason := notUTF8(name); reason != "" {
			return nil, fmt.Errorf("line 1: %s; see column %d", reason, i+1)
		}
		name = strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return '_'
		}, strings.TrimSpace(name))
		if strings.EqualFold(name, toColumn) {
			name = toColumn
		}
		if name != "" && seen[name] {
			return nil, fmt.Errorf("line 1: column %q occurs twice: expected different names", name)
		}
		header[i], seen[name] = name, true
	}
	if !seen[toColumn] {
		// The names are not quoted: without a header they are the first row's values.
		return nil, fmt.Errorf("line 1: %d columns, none of them %q: expected a first line with the names of the columns, separated by commas", len(header), toColumn)
	}
	return header, nil
}

// A messageTemplate makes the message for a row.
type messageTemplate struct {
	message         api.CreateMessageParams
	body, variables *template.Template // nil: the message has none
}

func newMessageTemplate(message *api.CreateMessageParams) (*messageTemplate, error) {
	has := func(s *string) bool { return s != nil && *s != "" }
	switch {
	case message == nil:
		return nil, errors.New("message: nil: expected what is to be sent")
	case has(message.To):
		return nil, fmt.Errorf("message: To is set: expected none, as it comes from the column %q of each row", toColumn)
	case !has(message.From) && !has(message.MessagingServiceSid):
		return nil, errors.New("message: neither From nor MessagingServiceSid: expected one of them")
	case !has(message.Body) && !has(message.ContentSid) && message.MediaUrl == nil:
		return nil, errors.New("message: none of Body, ContentSid and MediaUrl: expected one of them")
	}
	t := &messageTemplate{message: *message}
	var err error
	if t.body, err = parseTemplate("Body", message.Body); err != nil {
		return nil, err
	}
	t.variables, err = parseTemplate("ContentVariables", message.ContentVariables)
	return t, err
}

func parseTemplate(name string, text *string) (*template.Template, error) {
	if text == nil {
		return nil, nil
	}
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"json": jsonString}).Parse(*text)
	if err != nil {
		return nil, fmt.Errorf("message: %s: expected a template such as \"Hello {{.name}}\": %w", name, err)
	}
	return t, nil
}

func jsonString(s string) (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

func (t *messageTemplate) params(to string, fields map[string]string) (*api.CreateMessageParams, error) {
	p := t.message
	p.SetTo(to)
	if t.body != nil {
		body, err := execute(t.body, fields)
		if err != nil {
			return nil, err
		}
		if n := utf8.RuneCountInString(body); n > maxBody || strings.TrimSpace(body) == "" {
			return nil, fmt.Errorf("Body of %d characters: expected a text of 1 to %d", n, maxBody)
		}
		p.SetBody(body)
	}
	if t.variables != nil {
		variables, err := execute(t.variables, fields)
		if err != nil {
			return nil, err
		}
		if json.Unmarshal([]byte(variables), new(map[string]string)) != nil {
			return nil, errors.New(`ContentVariables: not a JSON object of strings: expected one such as {"1": {{json .name}}}`)
		}
		p.SetContentVariables(variables)
	}
	return &p, nil
}

func execute(t *template.Template, fields map[string]string) (string, error) {
	var b strings.Builder
	err := t.Execute(&b, fields)
	if err == nil {
		return b.String(), nil
	}
	if m := noEntry.FindStringSubmatch(err.Error()); m != nil {
		return "", &columnError{t.Name(), m[1], slices.Sorted(maps.Keys(fields)), err}
	}
	return "", fmt.Errorf("%w: expected a template over the columns of the file", err)
}

// noEntry is what text/template says of a column that the file does not have.
var noEntry = regexp.MustCompile(`map has no entry for key ("(?:[^"\\]|\\.)*")$`)

// A columnError is about a template that names a column which the file does not have.
type columnError struct {
	template, column string // the column in quotes
	columns          []string
	err              error
}

func (e *columnError) Error() string {
	const most = 20
	columns, more := e.columns, ""
	if len(columns) > most {
		columns, more = columns[:most], ", ..."
	}
	return fmt.Sprintf("%s: the file has no column %s; its columns: %s%s", e.template, e.column, strings.Join(columns, ", "), more)
}

func (e *columnError) Unwrap() error { return e.err }

var address = regexp.MustCompile(`^(whatsapp:|rcs:)?\+[1-9][0-9]{6,14}$`)

// isAddress reports whether s is a number in the form of E.164, or one of a channel's.
func isAddress(s string) bool { return address.MatchString(s) }

// masked hides the middle of what should have been a phone number. What is wrong with it
// is mostly how it begins, or how long it is.
func masked(s string) string {
	runes := []rune(s)
	n := len(runes)
	if n < 8 {
		return fmt.Sprintf("%d characters", n)
	}
	scheme := slices.Index(runes, ':') + 1
	begin := max(0, min(scheme+5, n-7))
	return fmt.Sprintf("%q of %d characters", string(runes[:begin])+"•••"+string(runes[n-4:]), n)
}
