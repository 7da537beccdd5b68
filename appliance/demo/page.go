package demo

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"

	"understudy/appliance/web/page"
)

//go:embed page.html
var pageBody string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("report").Parse(pageBody))

// WriteHTML writes the report as a page for a browser: one file, with pictures of what
// came through, that asks nobody for anything.
func (r *Report) WriteHTML(w io.Writer, version string) error {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, r.sheet(version)); err != nil {
		return fmt.Errorf("demo: write page: %w", err)
	}
	d := page.Document{Title: "Understudy: " + r.verdict(), Style: pageStyle, Body: template.HTML(body.String())}
	html, _, err := d.Render()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := w.Write(html); err != nil {
		return fmt.Errorf("demo: write page: %w", err)
	}
	return nil
}

// verdict is the result in a few words.
func (r *Report) verdict() string {
	switch {
	case r.OK && r.Flows.Total > 0:
		return "every connection survived"
	case r.OK:
		return "the addresses moved, and traffic went on"
	case r.Flows.Survived < r.Flows.Total:
		return fmt.Sprintf("%d of %d connections were lost", r.Flows.Total-r.Flows.Survived, r.Flows.Total)
	}
	return "something was not as it should be"
}

// sheet is the page's content, in the form that the template goes by.
type sheet struct {
	*Report
	Version, Verdict string
	Course           course
	Charts           []chart
}

// course is the picture of the whole demo.
type course struct {
	Spans []span
	Marks []mark
	Ticks []tick
	Text  string // for who does not see it
}

// span is a time in which a gateway was active, or gone.
type span struct {
	X, Y, Width float64
	Class       string // active | gone
}

type mark struct {
	X     float64
	Label string
}

type tick struct {
	X     float64
	Label string
}

// chart is the picture of what came through around one event.
type chart struct {
	ID, Title, Text string
	Event           *Event
	Bound           string
	Height          float64
	Lanes           []lane
	ZeroX, BoundX   float64
	HasBound, Stays bool
	Ticks           []tick
	Survived        string
	Rows            []row
}

// lane is one probe.
type lane struct {
	Name                 string
	Y                    float64
	Path                 template.HTMLAttr // d of the area
	GapX, GapWidth, GapY float64
	Gap                  string // "" if it is no more than the noise
	LabelX               float64
}

// row is one probe in the table.
type row struct{ Name, Outage, Noise string }

// Measures of the pictures, in their own units.
const (
	sheetWidth = 1000.0
	laneHeight = 34.0
	laneGap    = 12.0
)

var probes = map[string]string{"udp_out": "datagrams out", "udp_in": "datagrams in", "tcp_up": "transfer out", "tcp_down": "transfer in", "ping": "ping", "request": "request through the forward"}

func (r *Report) sheet(version string) sheet {
	s := sheet{Report: r, Version: version, Verdict: sentence(r.verdict()), Course: r.course()}
	for i := range r.Events {
		s.Charts = append(s.Charts, r.chart(i))
	}
	return s
}

// sentence begins with a capital letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

var titles = map[string]string{"crash": "The active gateway dies", "return": "It comes back, and takes its role again", "handover": "The role is handed over, on purpose",
	eventReload: "A reload: an address and forwards more", eventRestart: "A restart: another daemon, the role stays", eventUpgrade: "An upgrade: another program on both, the role stays"}

// course draws who was active when. An event moves the role to the other gateway, unless
// it is one that leaves it; a gateway that has crashed is gone until it returns.
func (r *Report) course() course {
	end := 1.0
	for _, m := range r.Timeline {
		end = max(end, m.Seconds)
	}
	x := func(s float64) float64 { return math.Round(10*sheetWidth*s/end) / 10 }
	c := course{}
	active, since, dead, gone := 0, 0.0, 0, -1.0
	if len(r.Timeline) > 0 {
		since = r.Timeline[0].Seconds
	}
	ys := [2]float64{6, 36}
	add := func(node int, from, to float64, class string) {
		if to > from {
			c.Spans = append(c.Spans, span{X: x(from), Y: ys[node], Width: max(1, math.Round(10*(x(to)-x(from)))/10), Class: class})
		}
	}
	var text []string
	for i := range r.Events {
		e := &r.Events[i]
		text = append(text, fmt.Sprintf("%s at %.1f s", title(e.Name), e.AtSeconds))
		c.Marks = append(c.Marks, mark{X: x(e.AtSeconds), Label: title(e.Name)})
		if staying(e.Name) {
			continue
		}
		moved := max(e.AtSeconds, e.ActiveSeconds)
		switch e.Name {
		case "crash":
			add(active, since, e.AtSeconds, "active")
			dead, gone = active, e.AtSeconds
		case "return":
			if gone >= 0 {
				add(dead, gone, e.AtSeconds, "gone")
				gone = -1
			}
			fallthrough
		default:
			add(active, since, moved, "active")
		}
		active, since = 1-active, moved
	}
	if gone >= 0 {
		add(dead, gone, end, "gone")
	}
	add(active, since, end, "active")
	for _, s := range nice(end, 8) {
		c.Ticks = append(c.Ticks, tick{X: x(s), Label: strconv.FormatFloat(s, 'f', -1, 64) + " s"})
	}
	c.Text = fmt.Sprintf("Who was active over %.0f seconds: gw1 first; then %s. A crash, a return and a hand-over move the role to the other gateway, the others leave it where it is.", end, strings.Join(text, ", "))
	return c
}

// nice are at most n round numbers from 0 to end.
func nice(end float64, n int) (out []float64) {
	step := math.Pow(10, math.Floor(math.Log10(end/float64(n))))
	for _, m := range []float64{1, 2, 5, 10, 20} {
		if end/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	for v := 0.0; v <= end+step/1e6; v += step {
		out = append(out, math.Round(v*1e6)/1e6)
	}
	return out
}

func (r *Report) chart(i int) chart {
	e := &r.Events[i]
	w := &e.Window
	c := chart{ID: fmt.Sprintf("event-%d", i+1), Title: titles[e.Name], Event: e, Bound: number(e.BoundMS), HasBound: e.BoundMS > 0, Stays: staying(e.Name), Survived: alive(*e, r.Flows.Total)}
	if c.Title == "" {
		c.Title = sentence(e.Name)
	}
	steps := 0
	for _, n := range w.Counts {
		steps = max(steps, len(n))
	}
	length := float64(steps) * w.StepMS
	x := func(t float64) float64 {
		if length == 0 {
			return 0
		}
		return math.Round(10*sheetWidth*(t-w.FromMS)/length) / 10
	}
	y := 4.0
	var said []string
	for _, col := range columns {
		name := col[0]
		if v := cell(e.OutagesMS, name); v != "" {
			c.Rows = append(c.Rows, row{sentence(probes[name]), v, cell(e.NoiseMS, name)})
		}
		counts, ok := w.Counts[name]
		if !ok {
			continue
		}
		l := lane{Name: probes[name], Y: y, Path: template.HTMLAttr(`d="` + area(counts, y) + `"`)}
		// What is no longer than the silences before is none.
		if out := e.OutagesMS[name]; out > 2*e.NoiseMS[name]+10 {
			g := w.GapsMS[name]
			from, to := max(0, x(g[0])), min(sheetWidth, x(g[1]))
			l.GapX, l.GapWidth, l.GapY, l.Gap = from, max(2, to-from), y, number(out)+" ms"
			l.LabelX = from + l.GapWidth/2
		}
		said = append(said, fmt.Sprintf("%s %s ms", probes[name], number(e.OutagesMS[name])))
		c.Lanes = append(c.Lanes, l)
		y += laneHeight + laneGap
	}
	c.Height = max(y-laneGap+4, laneHeight)
	c.ZeroX, c.BoundX = x(0), x(e.BoundMS)
	for _, t := range nice(max(1, w.FromMS+length), 7) {
		c.Ticks = append(c.Ticks, tick{X: x(t), Label: number(t) + " ms"})
	}
	if len(c.Ticks) > 0 {
		c.Ticks[0].Label = "0"
	}
	c.Text = "What came through around it, by probe. The longest silence: " + strings.Join(said, ", ") + "."
	return c
}

// area is the outline of how much came in each step, on a base line below y.
func area(counts []int, y float64) string {
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	var b strings.Builder
	base := y + laneHeight
	fmt.Fprintf(&b, "M0 %g", base)
	w := sheetWidth / float64(max(1, len(counts)))
	for i, n := range counts {
		// The usual amount is near the top; bursts after a silence are cut off.
		top := base - laneHeight*min(1, float64(n)/float64(usual(counts, most)))
		fmt.Fprintf(&b, "L%.1f %.1fL%.1f %.1f", float64(i)*w, top, float64(i+1)*w, top)
	}
	fmt.Fprintf(&b, "L%g %gZ", sheetWidth, base)
	return b.String()
}

// usual is the amount that nine of ten steps do not exceed, at least 1.
func usual(counts []int, most int) int {
	seen := make([]int, most+1)
	for _, n := range counts {
		seen[n]++
	}
	left := len(counts) / 10
	for n := most; n > 0; n-- {
		if left -= seen[n]; left < 0 {
			return n
		}
	}
	return 1
}
