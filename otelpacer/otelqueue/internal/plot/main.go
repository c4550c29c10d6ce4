// Plot draws what a Grafana with deploy/grafana-dashboard.json would show, from the same
// queries, as one SVG. deploy/plot.sh runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"html"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/otelpacer/otelqueue/internal/dashboard"
)

var (
	server = flag.String("prometheus", "http://127.0.0.1:9090", "`URL` of the server to ask")
	file   = flag.String("dashboard", "../../deploy/grafana-dashboard.json", "`file` to read panels from")
	out    = flag.String("o", "../../docs/dashboard.svg", "`file` to write")
	last   = flag.Duration("last", 3*time.Minute, "how far to go back")
	rate   = flag.Duration("rate", 10*time.Second, "what rates are taken over")
	shade  = flag.Duration("trouble", 0, "shade from this on, for as long as that; 0: nothing")
	note   = flag.String("note", "", "`text` below the title")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run() error {
	panels, err := dashboard.Read(*file)
	if err != nil {
		return err
	}
	end := time.Now()
	d := drawing{start: end.Add(-*last), end: end, colors: map[string]string{"all": ink, "now": ink}}
	for i, p := range panels {
		if err := d.panel(i, p); err != nil {
			return err
		}
	}
	return os.WriteFile(*out, []byte(d.svg(len(panels))), 0o644)
}

// The layout, in pixels: two columns of panels, each a plot with its legend below.
const (
	panelWidth, panelHeight = 600, 290
	left, top               = 58, 34 // of the plot in its panel
	plotWidth, plotHeight   = 520, 170
	header                  = 64

	ink  = "#24292f"
	grey = "#6e7781"
)

var palette = []string{"#0969da", "#cf222e", "#1a7f37", "#bf8700", "#8250df", "#bc4c00", "#0f8b8d", "#a04080", "#57606a", "#6a7f10"}

type drawing struct {
	strings.Builder
	start, end time.Time
	colors     map[string]string // by the first word of a legend: a resource is the same color everywhere
}

type line struct {
	legend string
	dashed bool
	dashboard.Series
}

func (d *drawing) panel(i int, p dashboard.Panel) error {
	var lines []line
	for _, target := range p.Targets {
		series, err := dashboard.Prometheus(*server).Range(context.Background(), target.Query(*rate), d.start, d.end, time.Second)
		if err != nil {
			return err
		}
		if len(series) == 0 {
			return fmt.Errorf("panel %q: nothing for %s", p.Title, target.Expr)
		}
		for _, s := range series {
			l := line{target.Legend(s.Labels), false, s}
			for _, o := range p.FieldConfig.Overrides {
				l.dashed = l.dashed || regexp.MustCompile(strings.Trim(o.Matcher.Options, "/")).MatchString(l.legend)
			}
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.legend, b.legend) })

	unit, scale := "", 1.0
	switch p.FieldConfig.Defaults.Unit {
	case "s":
		unit = "s"
	case "reqps":
		unit = "requests/s"
	case "percentunit":
		unit, scale = "%", 100
	}
	highest := 0.0
	for _, l := range lines {
		highest = max(highest, slices.Max(l.Values)*scale)
	}
	limits := thresholds(p)
	for _, v := range limits {
		highest = max(highest, v*scale*1.2)
	}
	step, top1 := ticks(highest)

	x0, y0 := float64(panelWidth*(i%2)), float64(header+panelHeight*(i/2))
	title := p.Title
	if unit != "" && !strings.Contains(title, "per second") {
		title += ", " + unit
	}
	d.text(x0+left, y0+18, ink, 14, "start", "font-weight='600'", title)
	px, py := x0+left, y0+top
	x := func(t time.Time) float64 {
		return px + plotWidth*float64(t.Sub(d.start))/float64(d.end.Sub(d.start))
	}
	y := func(v float64) float64 { return py + plotHeight*(1-v/top1) }
	for from := *shade; *shade > 0 && from < *last; from += 2 * *shade {
		a, b := x(d.start.Add(from)), x(d.start.Add(min(from+*shade, *last)))
		fmt.Fprintf(d, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' fill='#fff1e5'/>\n", a, py, b-a, plotHeight)
	}
	for n := 0; float64(n)*step <= top1*1.001; n++ {
		v := float64(n) * step
		fmt.Fprintf(d, "<path d='M%.1f %.1fH%.1f' stroke='#d8dee4'/>\n", px, y(v), px+plotWidth)
		d.text(px-6, y(v)+4, grey, 11, "end", "", fmt.Sprintf("%.4g", v))
	}
	for at := time.Duration(0); at <= *last; at += 30 * time.Second {
		d.text(x(d.start.Add(at)), py+plotHeight+15, grey, 11, "middle", "", fmt.Sprintf("%d:%02d", int(at.Minutes()), int(at.Seconds())%60))
	}
	for _, v := range limits {
		fmt.Fprintf(d, "<path d='M%.1f %.1fH%.1f' stroke='#cf222e' stroke-dasharray='2 3'/>\n", px, y(v*scale), px+plotWidth)
		d.text(px+4, y(v*scale)-4, "#cf222e", 11, "start", "", fmt.Sprintf("alert above %g %s", v*scale, unit))
	}

	lx, ly := px, py+plotHeight+36
	legend := func(name, color, dash string) {
		width := 30 + 6.3*float64(len(name))
		if lx+width > px+plotWidth+20 {
			lx, ly = px, ly+16
		}
		fmt.Fprintf(d, "<path d='M%.1f %.1fh14' stroke='%s' stroke-width='2.5' %s/>\n", lx, ly-4, color, dash)
		d.text(lx+19, ly, ink, 11, "start", "", name)
		lx += width
	}
	dashed := "" // what its lines mean: their colors are those of the others
	for _, l := range lines {
		dash := ""
		if l.dashed {
			dash = "stroke-dasharray='6 4' stroke-opacity='.75'"
		}
		color := d.color(l.legend)
		fmt.Fprintf(d, "<path d='%s' fill='none' stroke='%s' stroke-width='1.6' %s/>\n", path(l, x, func(v float64) float64 { return y(v * scale) }), color, dash)
		if l.dashed {
			dashed = l.legend[strings.LastIndexByte(l.legend, ' ')+1:]
		} else {
			legend(l.legend, color, "")
		}
	}
	if dashed != "" {
		legend(dashed, grey, "stroke-dasharray='4 3'")
	}
	return nil
}

func (d *drawing) color(legend string) string {
	name, _, _ := strings.Cut(legend, " ")
	if d.colors[name] == "" {
		d.colors[name] = palette[len(d.colors)%len(palette)]
	}
	return d.colors[name]
}

// path breaks off where there is no value.
func path(l line, x func(time.Time) float64, y func(float64) float64) string {
	var b strings.Builder
	for i, at := range l.Times {
		op := "L"
		if i == 0 || at.Sub(l.Times[i-1]) > 2*time.Second {
			op = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", op, x(at), y(l.Values[i]))
	}
	return b.String()
}

// ticks returns the distance of at most six lines, and the highest of them.
func ticks(highest float64) (step, top float64) {
	if highest <= 0 {
		return 0.5, 1
	}
	power := math.Pow(10, math.Floor(math.Log10(highest)))
	for _, m := range []float64{.2, .5, 1, 2, 5} {
		if step = m * power; highest/step <= 5 {
			break
		}
	}
	return step, step * math.Ceil(highest/step)
}

func thresholds(p dashboard.Panel) (values []float64) {
	for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
		if s.Value != nil {
			values = append(values, *s.Value)
		}
	}
	return values
}

func (d *drawing) text(x, y float64, color string, size int, anchor, style, text string) {
	fmt.Fprintf(d, "<text x='%.1f' y='%.1f' fill='%s' font-size='%d' text-anchor='%s' %s>%s</text>\n", x, y, color, size, anchor, style, html.EscapeString(text))
}

func (d *drawing) svg(panels int) string {
	width, height := 2*panelWidth+10, header+panelHeight*((panels+1)/2)
	body := d.String()
	d.Reset()
	fmt.Fprintf(d, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='DejaVu Sans, Verdana, sans-serif'>\n", width, height)
	fmt.Fprintf(d, "<rect width='%d' height='%d' fill='#fff'/>\n", width, height)
	d.text(left, 28, ink, 18, "start", "font-weight='600'", "pacer: calls to Twilio")
	d.text(left, 48, grey, 12, "start", "", *note)
	return d.String() + body + "</svg>\n"
}
