package queue

import (
	"errors"
	"strings"
	"testing"

	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	video "github.com/twilio/twilio-go/rest/video/v1"
)

func message(body string) *api.CreateMessageParams {
	p := &api.CreateMessageParams{}
	return p.SetTo("+15005550009").SetFrom("+15005550006").SetBody(body)
}

func creation(body string) func(*twilio.RestClient) error {
	return func(tw *twilio.RestClient) error {
		_, err := tw.Api.CreateMessage(message(body))
		return err
	}
}

func TestCaptureTakesWhatTwilioGoWouldSend(t *testing.T) {
	r, err := newRecorder(account).one(creation("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "POST" || r.URL != messages || r.Form["Body"][0] != "hello" || r.contentType() != "application/x-www-form-urlencoded" {
		t.Errorf("captured %+v", r)
	}
	r, err = newRecorder(account).one(func(tw *twilio.RestClient) error {
		_, err := tw.LookupsV2.FetchPhoneNumber("+15005550009", nil)
		return err
	})
	if err != nil || r.Method != "GET" || !r.safe() {
		t.Errorf("a lookup: %+v, %v", r, err)
	}
	r, err = newRecorder(account).one(func(tw *twilio.RestClient) error {
		_, err := tw.VideoV1.CreateRoom(&video.CreateRoomParams{})
		return err
	})
	if err != nil || r.safe() {
		t.Errorf("a room: %+v, %v", r, err)
	}
}

func TestCaptureErrors(t *testing.T) {
	own := errors.New("own")
	for name, tt := range map[string]struct {
		account string
		build   func(*twilio.RestClient) error
		want    string
	}{
		"none":    {account, func(*twilio.RestClient) error { return nil }, "made no request"},
		"no func": {account, nil, "no function"},
		"two": {account, func(tw *twilio.RestClient) error {
			return errors.Join(creation("a")(tw), creation("b")(tw))
		}, "made a second request"},
		"two, error ignored": {account, func(tw *twilio.RestClient) error {
			_, _ = creation("a")(tw), creation("b")(tw)
			return nil
		}, "made a second request"},
		"reads a nil SID": {account, func(tw *twilio.RestClient) error {
			m, err := tw.Api.CreateMessage(message("a"))
			if err == nil {
				t.Log(*m.Sid)
			}
			return err
		}, "used a result that is not there yet"},
		"fails first": {account, func(*twilio.RestClient) error { return own }, "own"},
		"fails after": {account, func(tw *twilio.RestClient) error {
			return errors.Join(creation("a")(tw), own)
		}, "made its request and then failed"},
	} {
		if _, err := newRecorder(tt.account).one(tt.build); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, expected %q", name, err, tt.want)
		}
	}
}

// A panic that is the program's own is none of the queue's business.
func TestCapturePassesPanicsOn(t *testing.T) {
	defer func() {
		if p := recover(); p != "own" {
			t.Errorf("recovered %v, expected the program's own panic", p)
		}
	}()
	_, _ = newRecorder(account).one(func(*twilio.RestClient) error { panic("own") })
}
