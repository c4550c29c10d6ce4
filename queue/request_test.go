package queue

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer"
)

const (
	account  = "AC" + "0123456789abcdef0123456789abcdef"
	messages = "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json"
)

var valid = Request{
	Method: "POST", URL: messages, Form: map[string][]string{"To": {"+15005550009"}, "Body": {"héllo, \"you\"\n"}},
	Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
}

func TestRequestFormat(t *testing.T) {
	b, err := json.Marshal(valid)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":"1.0","method":"POST","url":"` + messages + `","form":{"Body":["héllo, \"you\"\n"],"To":["+15005550009"]},"header":{"Content-Type":"application/x-www-form-urlencoded"}}`
	if string(b) != want {
		t.Errorf("written as\n%s\nexpected\n%s", b, want)
	}
	var back Request
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, valid) {
		t.Errorf("read as %+v, %v", back, err)
	}
}

// A program of another minor version reads what this one writes, and the other way round.
func TestRequestOfAnotherMinorVersion(t *testing.T) {
	var r Request
	later := `{"v":"1.7","method":"GET","url":"https://lookups.twilio.com/v2/PhoneNumbers/x","novel":{"a":[1]}}`
	if err := json.Unmarshal([]byte(later), &r); err != nil || r.Method != "GET" {
		t.Errorf("1.7: %+v, %v", r, err)
	}
}

func TestRequestErrors(t *testing.T) {
	const number = "+15005550009"
	for name, tt := range map[string]struct{ in, want string }{
		"no version":     {`{"method":"GET","url":"https://api.twilio.com/"}`, `"v": "": expected a version like "1.0"`},
		"a number":       {`{"v":1,"method":"GET"}`, `field "v": expected another type than number`},
		"next major":     {`{"v":"2.0","method":"GET"}`, `"v": "2.0": expected 1.x`},
		"odd version":    {`{"v":"1.x","method":"GET"}`, `"v": "1.x": expected a version`},
		"method":         {`{"v":"1.0","method":"TRACE","url":"https://api.twilio.com/"}`, `"method": "TRACE": expected GET`},
		"plain http":     {`{"v":"1.0","method":"GET","url":"http://api.twilio.com/"}`, `scheme "http": expected https`},
		"another host":   {`{"v":"1.0","method":"GET","url":"https://twilio.com.evil.example/"}`, `host "twilio.com.evil.example": expected one under twilio.com`},
		"suffix only":    {`{"v":"1.0","method":"GET","url":"https://eviltwilio.com/"}`, `expected one under twilio.com`},
		"another port":   {`{"v":"1.0","method":"GET","url":"https://api.twilio.com:8443/"}`, `port "8443": expected none`},
		"user":           {`{"v":"1.0","method":"GET","url":"https://AC1:secret@api.twilio.com/"}`, `expected no credentials`},
		"garbage URL":    {`{"v":"1.0","method":"GET","url":"https://api.twilio.com/%zz` + number + `"}`, `"url": expected a URL`},
		"authorization":  {`{"v":"1.0","method":"GET","url":"https://api.twilio.com/","header":{"authorization":"Basic c2VjcmV0"}}`, `"header" has Authorization: expected no credentials`},
		"line break":     {`{"v":"1.0","method":"GET","url":"https://api.twilio.com/","header":{"If-Match":"1\r\nX: y"}}`, `"header" "If-Match": expected no line break`},
		"body of a form": {`{"v":"1.0","method":"POST","url":"https://api.twilio.com/","body":"` + number + `"}`, `"body" with Content-Type "": expected application/json`},
		"form":           {`{"v":"1.0","method":"POST","url":"https://api.twilio.com/","form":{"To":"` + number + `"}}`, `field "form`},
		"no JSON":        {`{"v":"1.0"`, `not valid JSON`},
	} {
		var r Request
		err := r.UnmarshalJSON([]byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, expected %s", name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), number) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2VjcmV0")) {
			t.Errorf("%s: the error tells a number or a secret: %v", name, err)
		}
	}
}

// What is read is valid, and reads the same after it was written again.
func FuzzRequest(f *testing.F) {
	b, _ := json.Marshal(valid)
	f.Add(b)
	f.Add([]byte(`{"v":"1.9","method":"PATCH","url":"https://video.twilio.com/v1/Rooms","header":{"content-type":"application/json"},"body":"{}","x":1}`))
	f.Add([]byte(`{"v":"1.0","method":"GET","url":"https://a.twilio.com","form":{"":[]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Request
		if r.UnmarshalJSON(b) != nil {
			return
		}
		if err := r.validate(); err != nil {
			t.Fatalf("%s was read, and is not valid: %v", b, err)
		}
		written, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalJSON(written); err != nil || !again.same(r) || !maps.Equal(again.Header, r.Header) {
			t.Fatalf("%s became %+v and then %+v, %v", b, r, again, err)
		}
	})
}

func TestLaneKey(t *testing.T) {
	for _, l := range []Lane{
		{},
		{"spring", pacer.Resource{Account: account, Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: "+15005550006"}},
		{"100 %|7C%25", pacer.Resource{Account: "a|b", Sender: "%7C"}},
	} {
		back, err := ParseLane(l.Key())
		if err != nil || back != l {
			t.Errorf("%q read as %+v, %v; expected %+v", l.Key(), back, err, l)
		}
	}
	if _, err := ParseLane("a|b"); err == nil {
		t.Error("a lane of two fields was read")
	}
}

func FuzzLane(f *testing.F) {
	f.Add("spring|AC1|us1|api|Messages|create|+1500")
	f.Add("%7C|||||%25|%")
	f.Fuzz(func(t *testing.T, key string) {
		l, err := ParseLane(key)
		if err != nil {
			return
		}
		if again, err := ParseLane(l.Key()); err != nil || again != l {
			t.Fatalf("%q is %+v, then %+v, %v", key, l, again, err)
		}
	})
}
