package twiliotest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// general answers operations that this package does not model: creations are
// given a SID, lists are empty, and everything that is asked for exists.
func (f *Fake) general(in *inbound) *answer {
	switch {
	case in.req.Resource == "" || strings.HasSuffix(in.req.Resource, "/"):
		return f.notFound(in)
	case in.req.Method == http.MethodDelete && in.v1:
		// Several of these services delete later, and describe what they will
		// do; clients of the others do not read the body.
		return success(http.StatusAccepted, f.thing(in, in.id))
	case in.req.Method == http.MethodDelete:
		return success(http.StatusNoContent, nil)
	case in.req.Method == http.MethodPost && in.id == "":
		in.req.SID = f.newSID(sidPrefix(in))
		return success(http.StatusCreated, f.thing(in, in.req.SID))
	case (in.req.Method == http.MethodGet || in.req.Method == http.MethodHead) && in.id == "":
		return success(http.StatusOK, f.emptyList(in))
	default:
		return success(http.StatusOK, f.thing(in, in.id))
	}
}

// thing is some resource, with the fields that nearly all have.
func (f *Fake) thing(in *inbound, sid string) map[string]any {
	path := in.req.Path
	if in.id == "" {
		base, json := strings.CutSuffix(path, ".json")
		path = base + "/" + sid
		if json {
			path += ".json"
		}
	}
	doc := map[string]any{"sid": sid, "account_sid": in.req.Account}
	if in.req.Product == "api" {
		doc["uri"] = path
	} else {
		doc["url"] = (&url.URL{Scheme: "https", Host: in.req.Host, Path: path}).String()
	}
	if in.req.Resource == "IncomingPhoneNumbers" {
		doc["status"] = "in-use"
	}
	for _, field := range [...]string{"FriendlyName", "PhoneNumber"} {
		if value := in.req.Form.Get(field); value != "" {
			doc[snake(field)] = value
		}
	}
	return doc
}

// sidPrefix is the kind of a new resource's SID; ZZ is none of Twilio's.
func sidPrefix(in *inbound) string {
	switch in.req.Resource {
	case "Accounts":
		return "AC"
	case "IncomingPhoneNumbers":
		return "PN"
	case "messaging/Services":
		return "MG"
	default:
		return "ZZ"
	}
}

// emptyList is a list without items. A name that is no plural may be that of
// a single resource, whose fields it must not contradict.
func (f *Fake) emptyList(in *inbound) map[string]any {
	_, name, product := strings.Cut(in.req.Resource, "/")
	if product {
		return metaList(in, snake(name), nil)
	}
	doc := pageDoc(in, page{size: pageSize(in.req.Form)}, 0)
	doc["account_sid"] = in.req.Account
	if strings.HasSuffix(in.req.Resource, "s") {
		doc[snake(in.req.Resource)] = []any{}
	}
	return doc
}

// metaList is a list as other products than api.twilio.com frame it. Its pages
// are found by their number.
func metaList(in *inbound, key string, all []any) map[string]any {
	p, ok := pageOf(in.req.Form)
	if !ok {
		p = page{size: p.size}
	}
	start := min(p.number*p.size, len(all))
	end := min(start+p.size, len(all))
	at := func(number int) string {
		return "https://" + in.req.Host + pageURI(in, p.size, number, "")
	}
	meta := map[string]any{
		"key": key, "page": p.number, "page_size": p.size, "url": at(p.number),
		"first_page_url": at(0), "next_page_url": nil, "previous_page_url": nil,
	}
	if end < len(all) {
		meta["next_page_url"] = at(p.number + 1)
	}
	if p.number > 0 {
		meta["previous_page_url"] = at(p.number - 1)
	}
	return map[string]any{"meta": meta, key: slices.Concat([]any{}, all[start:end])}
}

// snake turns "PhoneNumbers" into "phone_numbers".
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// AddServiceNumbers adds phone numbers to a messaging service's sender pool,
// as GET messaging.twilio.com/v1/Services/{Sid}/PhoneNumbers lists them. A
// service need not be made first; one without numbers lists none.
func (f *Fake) AddServiceNumbers(serviceSid string, numbers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[serviceSid] = append(f.services[serviceSid], numbers...)
}

// AddServiceShortCodes adds short codes to a messaging service's sender pool,
// as GET messaging.twilio.com/v1/Services/{Sid}/ShortCodes lists them. It is
// otherwise as [Fake.AddServiceNumbers].
func (f *Fake) AddServiceShortCodes(serviceSid string, codes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shortCodes[serviceSid] = append(f.shortCodes[serviceSid], codes...)
}

func (f *Fake) serviceNumbers(in *inbound, service string) *answer {
	return f.pool(in, service, f.services[service], "phone_number", "PN", []string{"SMS", "Voice"})
}

func (f *Fake) serviceShortCodes(in *inbound, service string) *answer {
	return f.pool(in, service, f.shortCodes[service], "short_code", "SC", []string{"SMS"})
}

// pool lists senders of one kind, whose name is also that of the field they stand in.
func (f *Fake) pool(in *inbound, service string, senders []string, kind, prefix string, capabilities []string) *answer {
	created := f.epoch.UTC().Format(time.RFC3339)
	all := make([]any, len(senders))
	for i, sender := range senders {
		sid := fmt.Sprintf("%s%032x", prefix, 1<<60+i) // far from those of newSID
		code := any("US")                              // short codes do not tell
		if kind == "phone_number" {
			code = country(sender)
		}
		all[i] = map[string]any{
			"sid": sid, "account_sid": in.req.Account, "service_sid": service,
			kind: sender, "country_code": code, "capabilities": capabilities,
			"date_created": created, "date_updated": created,
			"url": "https://" + in.req.Host + in.req.Path + "/" + sid,
		}
	}
	return success(http.StatusOK, metaList(in, kind+"s", all))
}

// lookup answers GET lookups.twilio.com/v1 and v2/PhoneNumbers/{number}. A
// number is valid if it is a plus sign and 8 to 15 digits (E.164). v1 answers
// 404 for one that is not, v2 says so in the answer. Countries are known for
// +1 and +44 alone, and no data packages are.
func (f *Fake) lookup(in *inbound, number string) *answer {
	valid := isE164(number)
	doc := map[string]any{
		"phone_number": number, "country_code": nil, "national_format": nil,
		"url": "https://" + in.req.Host + in.req.Path,
	}
	if valid {
		doc["country_code"], doc["national_format"] = country(number), national(number)
	}
	if in.version == "v1" {
		if !valid {
			return f.notFound(in)
		}
		return success(http.StatusOK, doc)
	}
	doc["valid"], doc["validation_errors"] = valid, []string{}
	if !valid {
		doc["validation_errors"] = []string{"NOT_A_NUMBER"}
	} else if code := callingCode(number); code != "" {
		doc["calling_country_code"] = code
	}
	return success(http.StatusOK, doc)
}

func isE164(number string) bool {
	digits, plus := strings.CutPrefix(number, "+")
	if !plus || len(digits) < 8 || len(digits) > 15 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

func callingCode(number string) string {
	for _, code := range []string{"1", "44"} {
		if strings.HasPrefix(number, "+"+code) {
			return code
		}
	}
	return ""
}

func country(number string) any {
	switch callingCode(number) {
	case "1":
		return "US"
	case "44":
		return "GB"
	}
	return nil
}

func national(number string) string {
	if n := number[1:]; len(n) == 11 && n[0] == '1' {
		return "(" + n[1:4] + ") " + n[4:7] + "-" + n[7:]
	}
	return "0" + strings.TrimPrefix(number[1:], callingCode(number))
}
