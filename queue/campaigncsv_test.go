package queue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/twilio-pacer/pacer"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

func csvMessage(body string) *api.CreateMessageParams {
	return new(api.CreateMessageParams).SetFrom("+15005550006").SetBody(body)
}

func TestEnqueueCSV(t *testing.T) {
	for _, tt := range []struct {
		name, file, body string
		want             Enqueued
		bodies           []string
	}{
		{"plain", "to,name\n+15005550001,Ann\n+15005550002,Bob\n", "Hello {{.name}}", Enqueued{New: 2}, []string{"Hello Ann", "Hello Bob"}},
		{"of a spreadsheet", "\ufeffFirst Name, To ,\r\nÄnne,+15005550001,\r\n\r\n\"O\"\"Neil, Bob\",+15005550002,\r\n", "Hello {{.First_Name}}", Enqueued{New: 2}, []string{"Hello Änne", `Hello O"Neil, Bob`}},
		{"field of two lines", "to,text\n+15005550001,\"one\ntwo\"\n", "{{.text}}", Enqueued{New: 1}, []string{"one\ntwo"}},
		{"no line break at the end", "TO\n+15005550001", "{{.to}}", Enqueued{New: 1}, []string{"+15005550001"}},
		{"duplicates", "to,n\n+15005550001,1\n +15005550001 ,2\nwhatsapp:+15005550001,3\n", "{{.n}}", Enqueued{New: 2, Known: 1}, []string{"1", "3"}},
		{"channels", "to\nwhatsapp:+15005550001\nrcs:+15005550001\n", "x", Enqueued{New: 2}, []string{"x", "x"}},
		{"lines that end with CR alone", "to,name\r+15005550001,Ann\r+15005550002,\"Bob\rO'Neil\"\r", "Hello {{.name}}", Enqueued{New: 2}, []string{"Hello Ann", "Hello Bob\nO'Neil"}},
		{"CR alone, to in the middle, no end", "name,to,x\rAnn,+15005550001,1\rBob,+15005550002,2", "Hello {{.name}}", Enqueued{New: 2}, []string{"Hello Ann", "Hello Bob"}},
		{"a header with CRLF, rows with CR", "to,name\r\n+15005550001,Ann\r+15005550002,Bob\r", "Hello {{.name}}", Enqueued{New: 2}, []string{"Hello Ann", "Hello Bob"}},
		{"empty rows of a spreadsheet", "to,name,\n+15005550001,Ann,\n,,\n ,\u00a0,\t\n+15005550002,Bob,\n,,,,\n,\n", "Hello {{.name}}", Enqueued{New: 2}, []string{"Hello Ann", "Hello Bob"}},
		{"notations", "to\n+1 (500) 555-0001\n+1.500.555.0001\nwhatsapp:+1 500 555-0001\nwhatsapp:US.134912086\n", "x", Enqueued{New: 3, Known: 1}, []string{"x", "x", "x"}},
		{"condition", "to,vip\n+15005550001,\n+15005550002,y\n", "{{if .vip}}Dear{{else}}Hi{{end}}", Enqueued{New: 2}, []string{"Hi", "Dear"}},
		{"longest", "to\n+15005550001\n", strings.Repeat("ä", maxBody), Enqueued{New: 1}, []string{strings.Repeat("ä", maxBody)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, m := openMemory(t)
			c := create(t, q, "spring", CampaignOptions{Rate: 1})
			got, err := c.EnqueueCSV(t.Context(), strings.NewReader(tt.file), csvMessage(tt.body))
			if err != nil || got != tt.want {
				t.Fatalf("%+v, %v, expected %+v", got, err, tt.want)
			}
			var bodies []string
			for _, j := range m.jobs {
				bodies = append(bodies, j.Request.Form["Body"][0])
				if j.Unique != "c:spring|"+j.Request.Form["To"][0] {
					t.Errorf("%q is sent to %q", j.Unique, j.Request.Form["To"])
				}
			}
			if strings.Join(bodies, "|") != strings.Join(tt.bodies, "|") {
				t.Errorf("%q, expected %q", bodies, tt.bodies)
			}
			again, err := c.EnqueueCSV(t.Context(), strings.NewReader(tt.file), csvMessage(tt.body))
			if err != nil || again != (Enqueued{Known: tt.want.New + tt.want.Known}) {
				t.Errorf("run again: %+v, %v", again, err)
			}
		})
	}
}

func TestEnqueueCSVErrors(t *testing.T) {
	const good = "to,name\n+15005550001,Ann\n"
	for _, tt := range []struct {
		name, file, body string
		want             []string
	}{
		{"empty", "", "x", []string{"it is empty"}},
		{"no header", "+15005551234,Ann\n", "x", []string{`line 1: 2 columns, none of them "to"`}},
		{"semicolons", "to;name\n+15005551234;Ann\n", "x", []string{"separated by commas"}},
		{"same column twice", "to,To\n", "x", []string{`column "to" occurs twice`}},
		{"nobody", "to,name\n", "{{.name}}", []string{"no row after the line with the names"}},
		{"nobody but empty rows", "to,name\r\n,\r\n\r\n , \r\n", "{{.name}}", []string{"no row after the line with the names"}},
		{"a number without a name in its column", "to,name\n,Ann\n", "{{.name}}", []string{`line 2: column "to" is empty: expected a phone number`}},
		{"Latin-1", "to,M\xe4dchen\n", "x", []string{"line 1: not UTF-8", "saved as UTF-8", "column 2"}},
		{"UTF-16", "\xff\xfet\x00o\x00,\x00n\x00\n\x00", "x", []string{"line 1: not UTF-8", "saved as UTF-8"}},
		{"UTF-16 without a mark", "t\x00o\x00\r\x00\n\x00+\x001\x00\r\x00\n\x00", "x", []string{"line 1: not UTF-8", "saved as UTF-8"}},
		{"Latin-1 in a row", good + "+15005550002,M\xe4x\n", "{{.name}}", []string{`line 3: column "name": not UTF-8`, "saved as UTF-8"}},
		{"Latin-1 in the second line of a row", "to,name,\n+15005550002,\"M\nx\",\"\n\xe4\"\n", "x", []string{`line 3: column 3: not UTF-8`}},
		{"Latin-1, which JSON would change", good + "+15005550002,M\xe4x\n", "{{json .name}}", []string{`line 3: column "name": not UTF-8`}},
		{"NUL in a row", good + "+15005550002,M\x00x\n", "{{.name}}", []string{`line 3: column "name": not UTF-8`}},
		{"no such column", good, "Hello {{.nme}}", []string{`line 2: Body: the file has no column "nme"; its columns: name, to`}},
		{"template", good, "Hello {{.name", []string{"message: Body: expected a template"}},
		{"no body", good, "", []string{"none of Body, ContentSid and MediaUrl"}},
		{"columns", good + "+15005551234,Ann,x\n+15005551234\n", "x", []string{"line 3: 3 columns: expected 2", "line 4: 1 columns: expected 2"}},
		{"quote", good + "+15005551234,\"Ann\n", "x", []string{"line 3", `a quote (") is missing`, `write a quote in it twice: "a ""quoted"" word"`}},
		{"quote in a field without quotes", good + "+15005551234,5\" of Ann\n", "x", []string{`line 3: a quote (") in a field that has no quotes around it: put the field in quotes`}},
		{"quote in the line of the names", "to,a \"b\"\n", "x", []string{`line 1: a quote (")`}},
		{"quote in a second line", good + "+15005551234,\"Ann\nAnn\" Ann\"\n", "x", []string{`line 4, in the row that begins in line 3: a quote (")`}},
		{"columns in another order", "to,name\nAda,+15005551234\n", "{{.name}}", []string{`line 2: column "to": 3 characters, and some are letters: expected a phone number`, "are the columns in the right order?"}},
		{"a channel that is none of a file", "to\nmessenger:15005551234\n", "x", []string{`line 2: column "to": `, "whatsapp: or rcs: before it"}},
		{"tel:", "to\ntel:+15005551234\n", "x", []string{`"tel:" is no channel`}},
		{"0 in brackets", "to\n+44 (0)20 5551234\n", "x", []string{"a 0 in brackets"}},
		{"all bad rows, with their lines", "to\n0155512345678\n\"+1500555\n1234\"\n+15005550001\n+0155512345678\n+1500555123456789\n\"\"\n", "x", []string{
			"nothing was enqueued", `line 2: column "to": "01555•••5678" of 13 characters: expected a plus and the country code before it`, "line 3:", "line 6:", "line 7:", `line 8: column "to" is empty`}},
		{"too long", good, strings.Repeat("x", maxBody+1), []string{"line 2: Body of 1601 characters: expected a text of 1 to 1600"}},
		{"nothing to say", "to,name\n+15005550001,\n", " {{.name}}\n", []string{"line 2: Body of 2 characters"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, m := openMemory(t)
			c := create(t, q, "spring", CampaignOptions{Rate: 1})
			got, err := c.EnqueueCSV(t.Context(), strings.NewReader(tt.file), csvMessage(tt.body))
			if err == nil || got != (Enqueued{}) || len(m.jobs) != 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			for _, want := range append(tt.want, `campaign "spring": CSV: `) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: expected %q in it", err, want)
				}
			}
			for _, secret := range []string{"5551234", "0155512345678", "+1500555123456789", "Ann"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v: tells %s", err, secret)
				}
			}
		})
	}

	q, m := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 1})
	_, err := c.EnqueueCSV(t.Context(), strings.NewReader("to\n"+strings.Repeat("Ann\n", 1000)), csvMessage("x"))
	if err == nil || strings.Count(err.Error(), "line ") != maxRowErrors || !strings.Contains(err.Error(), "and 980 rows more") {
		t.Errorf("a thousand bad rows: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Close()
	if _, err := c.EnqueueCSV(t.Context(), r, csvMessage("x")); err == nil || !strings.Contains(err.Error(), "not a pipe") {
		t.Errorf("a pipe: %v", err)
	}
	for _, message := range []*api.CreateMessageParams{nil, new(api.CreateMessageParams).SetBody("x"), csvMessage("x").SetFrom(""), csvMessage("x").SetTo("+15005550009")} {
		if _, err := c.EnqueueCSV(t.Context(), strings.NewReader(good), message); err == nil || !strings.Contains(err.Error(), "message: ") {
			t.Errorf("%+v: %v", message, err)
		}
	}
	if err := c.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EnqueueCSV(t.Context(), strings.NewReader(good), csvMessage("x")); !errors.Is(err, ErrCampaignCancelled) || len(m.jobs) != 0 {
		t.Errorf("cancelled: %v", err)
	}
}

// A file that grows bad between the two readings is enqueued up to the bad row.
func TestEnqueueCSVFileChanges(t *testing.T) {
	q, _ := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 1})
	f := &changing{Reader: strings.NewReader("to\n+15005550001\n"), then: "to\n+15005550001\nAnn\n"}
	got, err := c.EnqueueCSV(t.Context(), f, csvMessage("x"))
	if err == nil || !strings.Contains(err.Error(), "line 3") || got != (Enqueued{New: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

type changing struct {
	*strings.Reader
	then string
}

func (c *changing) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		c.Reset(c.then)
	}
	return 0, nil
}

func TestEnqueueCSVContentTemplate(t *testing.T) {
	q, m := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 1})
	message := new(api.CreateMessageParams).SetMessagingServiceSid("MG00000000000000000000000000000000").
		SetContentSid("HX00000000000000000000000000000000").SetContentVariables(`{"1": {{json .name}}}`)
	file := "to,name\nwhatsapp:+15005550001,\"A\"\",\"\"2\"\": \"\"\"\n"
	if _, err := c.EnqueueCSV(t.Context(), strings.NewReader(file), message); err != nil {
		t.Fatal(err)
	}
	form := m.jobs[0].Request.Form
	if got := form["ContentVariables"][0]; got != `{"1": "A\",\"2\": \""}` || form["Body"] != nil || form["ContentSid"][0] != *message.ContentSid {
		t.Errorf("%v", form)
	}
	if m.jobs[0].Lane.Resource.Name != pacer.Messages || message.To != nil {
		t.Errorf("%v, To %v", m.jobs[0].Lane, message.To)
	}
	message.SetContentVariables(`{"1": {{.name}}}`)
	if _, err := c.EnqueueCSV(t.Context(), strings.NewReader(file), message); err == nil || !strings.Contains(err.Error(), "line 2: ContentVariables: not a JSON object") {
		t.Errorf("%v", err)
	}
}

func TestMasked(t *testing.T) {
	for s, want := range map[string]string{
		"":                      "0 characters",
		"1234567":               "7 characters",
		"12345678":              `"1•••5678" of 8 characters`,
		"+15005550006":          `"+1500•••0006" of 12 characters`,
		"whatsapp:+15005550006": `"whatsapp:+1500•••0006" of 21 characters`,
		"whatsapp:123":          `"whats•••:123" of 12 characters`,
		"äöüäöüä:öü":            `"äöü•••ä:öü" of 10 characters`,
	} {
		if got := masked(s); got != want {
			t.Errorf("%q: %s, expected %s", s, got, want)
		}
	}
}

func FuzzEnqueueCSV(f *testing.F) {
	f.Add("to,name\n+15005550001,Ann\n", "Hello {{.name}}")
	f.Add("\ufeffTo,\"a b\"\r\n\r\n+15005550001,\"x\"\"y\"\r\n", "{{.a_b}}")
	f.Add("to;name\n+15005550001;Ann\n", "{{index . \"name\"}}")
	f.Add("to\n0155512345678\n\"\n", "{{range $k, $v := .}}{{$k}}{{end}}")
	f.Add("\xff\xfet\x00o\x00", "{{template \"Body\" .}}")
	f.Fuzz(func(t *testing.T, file, body string) {
		if strings.Contains(body, "range") || strings.Contains(body, "template") || strings.Contains(body, "printf") {
			t.Skip("may take for ever, as it says")
		}
		c := &Campaign{&Queue{account: "AC00000000000000000000000000000000"}, "x"}
		tmpl, err := newMessageTemplate(csvMessage(body))
		if err != nil {
			return
		}
		for j, err := range c.rows(strings.NewReader(file), tmpl) {
			if err != nil {
				if strings.Contains(err.Error(), "0155512345678") {
					t.Fatalf("%v", err)
				}
				continue
			}
			to := j.Request.Form["To"]
			if len(to) != 1 || !isAddress(to[0]) && !whatsAppUser.MatchString(to[0]) || j.Unique != "c:x|"+to[0] || !strings.Contains(notation.Replace(file), notation.Replace(to[0])) || strings.TrimSpace(j.Request.Form["Body"][0]) == "" {
				t.Fatalf("%q, %v", j.Unique, j.Request.Form)
			}
		}
	})
}

// Of a file with a quote that is not closed only the bound of a row is read.
func TestRowOfAFileIsBounded(t *testing.T) {
	q, _ := openMemory(t)
	c := create(t, q, "spring", CampaignOptions{Rate: 1})
	for name, begin := range map[string]string{
		"quote not closed": "to,name\n+15005550001,Ann\n+15005550002,\"Bob\n",
		"no line ends":     "to,name\n+15005550001,Ann\n",
	} {
		row := "+15005550003,Cid\n"
		if name == "no line ends" {
			row = "x"
		}
		rest := &endless{text: row}
		file := struct {
			io.Reader
			io.Seeker
		}{io.MultiReader(strings.NewReader(begin), rest), strings.NewReader("")}
		done, err := c.EnqueueCSV(t.Context(), file, csvMessage("x"))
		if err == nil || !strings.Contains(err.Error(), "line 3: a row of more than 1048576 bytes") || done != (Enqueued{}) || rest.read > maxRecord+64<<10 {
			t.Errorf("%s: %+v, %v after %d bytes", name, done, err, rest.read)
		}
	}
	name := strings.Repeat("x", maxRecord-100)
	done, err := c.EnqueueCSV(t.Context(), strings.NewReader("to,name\n+15005550001,"+name+"\n+15005550002,"+name+"\n"), csvMessage("x"))
	if err != nil || done != (Enqueued{New: 2}) {
		t.Errorf("rows within the bound: %+v, %v", done, err)
	}
}

// endless yields text for ever, and counts.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.read%len(e.text):])
	e.read += n
	return n, nil
}

// Only a CR alone is changed, however the file is read.
func FuzzCSVRecords(f *testing.F) {
	for _, s := range []string{"a\rb", "a\r\nb\r", "\r\r\n\n\r", "\ufeffa\r", "\"a\r\"\r\n", "\r"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, file string, size int) {
		if strings.Contains(file, "\x01\x02") {
			t.Skip("it stands for CRLF below")
		}
		want := strings.TrimPrefix(file, "\ufeff")
		want = strings.ReplaceAll(want, "\r\n", "\x01\x02")
		want = strings.ReplaceAll(want, "\r", "\n")
		want = strings.ReplaceAll(want, "\x01\x02", "\r\n")
		in := newCSVRecords(iotest.OneByteReader(strings.NewReader(file)))
		var got strings.Builder
		p := make([]byte, 1+(size&0xff))
		for {
			n, err := in.Read(p)
			got.Write(p[:n])
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got.String() != want {
			t.Fatalf("%q is read as %q, expected %q", file, got.String(), want)
		}
		if lines := strings.Count(want, "\n") + 1; in.line != lines {
			t.Fatalf("%q: line %d at the end, expected %d", file, in.line, lines)
		}
	})
}

func BenchmarkEnqueueCSV(b *testing.B) {
	var file strings.Builder
	file.WriteString("to,name\n")
	for n := range b.N {
		fmt.Fprintf(&file, "+1500%07d,Ann\n", n)
	}
	c := &Campaign{&Queue{account: "AC00000000000000000000000000000000"}, "x"}
	t, err := newMessageTemplate(csvMessage("Hello {{.name}}"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for _, err := range c.rows(strings.NewReader(file.String()), t) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != b.N {
		b.Fatalf("%d rows of %d", n, b.N)
	}
}
