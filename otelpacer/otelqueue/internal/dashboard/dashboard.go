// Package dashboard reads deploy/grafana-dashboard.json and asks Prometheus what its
// panels show, for the test that all of them show something and for the plot.
package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Panel is one diagram.
type Panel struct {
	Title       string
	Description string
	Targets     []Target
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []struct{ Value *float64 } }
		}
		Overrides []struct{ Matcher struct{ Options string } } // which legends are dashed
	}
}

// A Target is one query of a panel.
type Target struct{ Expr, LegendFormat string }

// Read returns the panels of a dashboard.
func Read(file string) ([]Panel, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var d struct{ Panels []Panel }
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d.Panels, nil
}

// Query is the target's query with what Grafana puts in place of its variables: all
// jobs, all resources, and the time that rates are taken over.
func (t Target) Query(rateInterval time.Duration) string {
	return strings.NewReplacer(
		"$job", ".+", "$resource", ".+",
		"$__rate_interval", fmt.Sprintf("%ds", int(rateInterval.Seconds())),
	).Replace(t.Expr)
}

// Legend is the target's name for a series.
func (t Target) Legend(labels map[string]string) string {
	legend := t.LegendFormat
	for k, v := range labels {
		legend = strings.ReplaceAll(legend, "{{"+k+"}}", v)
	}
	return legend
}

// A Series is one line of an answer, with a value for each time.
type Series struct {
	Labels map[string]string
	Times  []time.Time
	Values []float64
}

// Prometheus is a server's address, such as http://127.0.0.1:9090.
type Prometheus string

// Range asks for the values from start to end.
func (p Prometheus) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([]Series, error) {
	var answer struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	err := p.Get(ctx, "query_range", url.Values{
		"query": {query}, "start": {stamp(start)}, "end": {stamp(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}, &answer)
	var all []Series
	for _, r := range answer.Result {
		s := Series{Labels: r.Metric}
		for _, v := range r.Values {
			at, _ := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
				continue
			}
			s.Times, s.Values = append(s.Times, time.UnixMilli(int64(at*1000))), append(s.Values, value)
		}
		if len(s.Values) > 0 {
			all = append(all, s)
		}
	}
	return all, err
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// Get decodes the data of one of the API's answers.
func (p Prometheus) Get(ctx context.Context, path string, params url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(p)+"/api/v1/"+path+"?"+params.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("prometheus: %s: %s: %w", path, resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus: %s %s: %s", path, params.Get("query"), answer.Error)
	}
	return nil
}
