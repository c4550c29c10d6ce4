package pacer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// LimitsHandler returns a handler by which the limits are read and replaced while the
// program runs. It asks for no credentials: put it behind your own, or on an address
// that only operators reach. Senders in the limits may be phone numbers.
//
//   - GET answers with the limits in force, without pacer's defaults, as a JSON array.
//   - PUT takes what [ParseLimits] does, 1 MiB at most, replaces the limits with it, and
//     answers as GET does. If any of it is invalid nothing changes and the answer is 400,
//     with the error as text.
//
// Other methods are answered with 405, and both with 501 if the limiter, of
// [WithLimiter], lacks Limits() Limits or SetLimits(Limits) error. Each change is logged
// at Info to the logger of [WithLogger]. It lives in memory: a restart undoes it, and so
// does the next change of a file that is watched.
//
// The handler is safe for concurrent use.
func (c *Client) LimitsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			c.answerLimits(w)
		case http.MethodPut:
			if status, err := c.putLimits(w, r); err != nil {
				http.Error(w, err.Error(), status)
				return
			}
			c.answerLimits(w)
		default:
			w.Header().Set("Allow", "GET, HEAD, PUT")
			http.Error(w, fmt.Sprintf("pacer: method %q: expected GET or PUT", r.Method), http.StatusMethodNotAllowed)
		}
	})
}

func (c *Client) answerLimits(w http.ResponseWriter) {
	limits, ok := c.limits()
	if !ok {
		http.Error(w, fmt.Sprintf("pacer: limiter %T has no method Limits() pacer.Limits", c.cfg.limiter), http.StatusNotImplemented)
		return
	}
	if limits == nil {
		limits = Limits{} // or JSON would say null
	}
	text, err := json.MarshalIndent(limits, "", "  ")
	if err != nil { // of another limiter: a NaN
		http.Error(w, "pacer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n'))
}

// putLimits returns the status for an error.
func (c *Client) putLimits(w http.ResponseWriter, r *http.Request) (int, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLimitsText))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("pacer: limits of more than %d bytes: expected at most that", maxLimitsText)
	} else if err != nil {
		return http.StatusBadRequest, fmt.Errorf("pacer: limits: reading the request: %w", err)
	}
	limits, err := ParseLimits(text)
	if err != nil {
		return http.StatusBadRequest, err
	}
	switch err := c.SetLimits(limits); {
	case errors.Is(err, errNoSetLimits):
		return http.StatusNotImplemented, err
	case err != nil: // of another limiter: they are valid
		return http.StatusInternalServerError, err
	}
	if c.cfg.logger != nil {
		c.cfg.logger.Info("pacer: limits changed", "by", r.RemoteAddr, "rules", len(limits))
	}
	return 0, nil
}
