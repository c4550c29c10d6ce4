package twiliotest_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// TestEveryOperation calls all that twilio-go has to create, fetch, update and
// delete, with a SID for every string and no parameters. Each must be answered
// so that twilio-go can decode it, or be refused with 400 or 404 for what it
// lacks.
func TestEveryOperation(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	rest := reflect.ValueOf(newRest(f.Client())).Elem()
	sid := reflect.ValueOf("ZZ" + twiliotest.AuthToken)
	operations := 0
	for i := range rest.NumField() {
		service := rest.Field(i)
		if service.Kind() != reflect.Pointer || service.Type().Elem().Name() != "ApiService" {
			continue
		}
		for j := range service.NumMethod() {
			name := service.Type().Method(j).Name
			if !operation(name) {
				continue
			}
			method := service.Method(j)
			args := make([]reflect.Value, method.Type().NumIn())
			for k := range args {
				in := method.Type().In(k)
				args[k] = reflect.Zero(in)
				switch in.Kind() {
				case reflect.String:
					args[k] = sid
				case reflect.Pointer:
					args[k] = reflect.New(in.Elem())
				}
			}
			operations++
			before := f.Stats()
			out := method.Call(args)
			after := f.Stats()
			if after.Received == before.Received || after.Accepted+after.TokenFetches != after.Received {
				t.Errorf("%s.%s: %+v", rest.Type().Field(i).Name, name, after)
				continue
			}
			err, _ := out[len(out)-1].Interface().(error)
			if name == "CreateBillingUsage" {
				continue // twilio-go needs fields that only this one has
			}
			if err != nil && !strings.Contains(err.Error(), "Status: 40") {
				t.Errorf("%s.%s: %v", rest.Type().Field(i).Name, name, err)
			}
		}
	}
	if operations < 1000 {
		t.Errorf("only %d operations", operations)
	}
	t.Logf("%d operations", operations)
}

func operation(method string) bool {
	if strings.HasSuffix(method, "WithMetadata") {
		return false
	}
	for _, verb := range []string{"Create", "Fetch", "Update", "Delete", "Page", "Replace", "Patch"} {
		if strings.HasPrefix(method, verb) {
			return true
		}
	}
	return false
}

// FuzzServeHTTP checks that whatever is asked is answered.
func FuzzServeHTTP(f *testing.F) {
	f.Add("GET", "api.twilio.com", "/2010-04-01/Accounts/AC1/Messages.json", "PageSize=1&PageToken=PA"+twiliotest.AccountSid, "", "")
	f.Add("POST", "api.twilio.com", "/2010-04-01/Accounts/AC1/Messages.json", "", "application/x-www-form-urlencoded", "From=a&To=b&Body=c")
	f.Add("POST", "oauth.twilio.com", "/v2/token", "", "application/x-www-form-urlencoded", "grant_type=a&client_id=b&client_secret=c")
	f.Add("GET", "lookups.twilio.com", "/v2/PhoneNumbers/+44", "", "", "")
	f.Add("GET", "messaging.twilio.com", "/v1/Services/MG1/PhoneNumbers", "Page=1073741824&PageSize=1", "", "")
	f.Add("GET", "api.twilio.com", "/2010-04-01/Accounts/AC1/Calls.json", "StartTime%3E=0000-01-01&Page=9", "", "")
	f.Add("DELETE", "", "//", "%zz;", ";", "{")
	fake := twiliotest.New(twiliotest.Config{})
	fake.AddServiceNumbers("MG1", "+15005550001", "")
	f.Fuzz(func(t *testing.T, method, host, path, query, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Method, r.Host, r.URL.Path, r.URL.RawQuery = method, host, path, query
		r.Header.Set("Content-Type", kind)
		r.SetBasicAuth(twiliotest.AccountSid, twiliotest.AuthToken)
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 499 || w.Header().Get("Twilio-Request-Id") == "" {
			t.Errorf("answered %d %v", w.Code, w.Header())
		}
	})
}
