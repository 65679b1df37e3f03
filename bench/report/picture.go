package main

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"os"
	"regexp"
	"strconv"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The picture is 800 pixels wide, which are 600 points.
const (
	pictureWidth  = 600 * vg.Length(1)
	pictureHeight = 290 * vg.Length(1)
	margin        = 10 * vg.Length(1)
	// titles is the height of what stands above both charts.
	titles = 44 * vg.Length(1)
	// lostWidth is the width of the chart on the right.
	lostWidth = 180 * vg.Length(1)
)

var (
	white  = color.White // of its own, so that it reads on any page
	ink    = color.RGBA{R: 0x1f, G: 0x23, B: 0x28, A: 0xff}
	faint  = color.RGBA{R: 0x59, G: 0x63, B: 0x6e, A: 0xff}
	gridly = color.RGBA{R: 0xe4, G: 0xe7, B: 0xea, A: 0xff}
	fills  = map[barKind]color.RGBA{
		yardstick: {R: 0xaf, G: 0xb8, B: 0xc1, A: 0xff},
		peer:      {R: 0x6e, G: 0x77, B: 0x81, A: 0xff},
		ours:      {R: 0x0b, G: 0x6b, B: 0xcb, A: 0xff},
	}
	red = color.RGBA{R: 0xc6, G: 0x28, B: 0x28, A: 0xff}
)

// drawPicture writes the picture to a file: how fast each server is, and how much it
// loses.
func drawPicture(file string, results []result) error {
	all, err := measured(results)
	if err != nil {
		return err
	}
	speed, err := speedChart(all)
	if err != nil {
		return err
	}
	lost, err := lostChart(all)
	if err != nil {
		return err
	}
	canvas := vgsvg.New(pictureWidth, pictureHeight)
	c := draw.New(canvas)
	c.SetColor(white)
	c.Fill(c.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)

	c.FillText(letters(13, ink, true), vg.Point{X: c.Min.X, Y: c.Max.Y - 12}, "A click over HTTP: how many a second, and how many get lost")
	c.FillText(letters(8.5, faint, false), vg.Point{X: c.Min.X, Y: c.Max.Y - 27},
		"POST /increment, server on one CPU. Bars are ratios to the bare handler in the same run, which depend less on the machine than requests per second.")
	c = draw.Crop(c, 0, 0, 0, -titles)
	speed.Draw(draw.Crop(c, 0, -lostWidth-margin, 0, 0))
	lost.Draw(draw.Crop(c, c.Max.X-c.Min.X-lostWidth, 0, 0, 0))

	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(anyFont(svg.String())), 0o644)
}

// svgText is a text as vgsvg writes it.
var svgText = regexp.MustCompile(`(<text [^>]*)(style="[^"]*font-weight:(\w+);[^"]*font-size:([\d.]+)px;[^"]*">)([^<]*)</text>`)

// anyFont gives each text the width that the layout assumes. Without it, a
// browser that has none of the fonts cuts texts off.
func anyFont(svg string) string {
	svg = strings.ReplaceAll(svg, "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	return svgText.ReplaceAllStringFunc(svg, func(s string) string {
		m := svgText.FindStringSubmatch(s)
		size, err := strconv.ParseFloat(m[4], 64)
		if err != nil {
			return s
		}
		style := letters(size, ink, m[3] == "bold")
		width := style.Width(html.UnescapeString(m[5])).Points()
		return fmt.Sprintf(`%stextLength="%.5g" lengthAdjust="spacingAndGlyphs" %s%s</text>`, m[1], width, m[2], m[5])
	})
}

// speedChart has the names of the servers on its left.
func speedChart(all []bar) (*plot.Plot, error) {
	p := chart("requests per second, 64 sessions (x bare handler)", len(all))
	p.X.Max = 1.3 // the bar of the bare handler, and what is written beside it
	for i := range all {
		p.X.Max = max(p.X.Max, all[i].ratio+0.3)
	}
	p.X.Tick.Marker = ticks(0.25, 1, func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) })
	var names []plot.Tick
	for i := range all {
		names = append(names, plot.Tick{Value: float64(len(all) - 1 - i), Label: all[i].label})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	p.Y.Tick.Label = letters(10, ink, false)
	p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = draw.XRight, draw.YCenter
	err := addBars(p, all, func(b *bar) (float64, color.Color, string) {
		return b.ratio, fills[b.kind], fmt.Sprintf("%.2f (%s/s)", b.ratio, thousands(b.rate))
	})
	return p, err
}

func lostChart(all []bar) (*plot.Plot, error) {
	p := chart("updates lost, 16 connections on one session", len(all))
	p.X.Max = 1.45
	p.X.Tick.Marker = ticks(0.5, 1, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) })
	p.Y.Tick.Marker = plot.ConstantTicks(nil)
	err := addBars(p, all, func(b *bar) (float64, color.Color, string) {
		switch {
		case b.losses == "":
			return 0, red, "(nothing to lose)"
		case b.lost == 0:
			return 0, red, "none"
		case b.lost < 0.001:
			return b.lost, red, "less than 0.1 %"
		}
		return b.lost, red, fmt.Sprintf("%.1f %%", 100*b.lost)
	})
	return p, err
}

// chart returns one with room for so many rows and a line for each tick.
func chart(label string, rows int) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil // the picture has one
	p.X.Label.Text = label
	p.X.Label.TextStyle = letters(9, ink, false)
	p.X.Label.TextStyle.XAlign = draw.XCenter
	p.X.Label.Padding = 3
	p.X.Tick.Label = letters(9, faint, false)
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XCenter, draw.YTop
	p.X.Width, p.Y.Width = 0, 0
	p.X.Tick.Width, p.Y.Tick.Width = 0, 0
	p.X.Padding, p.Y.Padding = 0, 0
	p.X.Min, p.Y.Min, p.Y.Max = 0, -0.6, float64(rows)-0.4
	lines := plotter.NewGrid()
	lines.Vertical.Color, lines.Vertical.Dashes = gridly, nil
	lines.Horizontal.Width = 0
	p.Add(lines)
	return p
}

// ticks returns one each step, from 0 to the last one.
func ticks(step, last float64, label func(float64) string) plot.ConstantTicks {
	var marks []plot.Tick
	for v := 0.0; v <= last; v += step {
		marks = append(marks, plot.Tick{Value: v, Label: label(v)})
	}
	return marks
}

// addBars adds a row for each server: a bar, and what it stands for.
func addBars(p *plot.Plot, all []bar, show func(*bar) (length float64, fill color.Color, label string)) error {
	labels := plotter.XYLabels{}
	for i := range all {
		length, fill, label := show(&all[i])
		row := float64(len(all) - 1 - i)
		b, err := plotter.NewBarChart(plotter.Values{length}, 15)
		if err != nil {
			return err
		}
		b.Horizontal, b.XMin, b.Color, b.LineStyle.Width = true, row, fill, 0
		p.Add(b)
		labels.XYs = append(labels.XYs, plotter.XY{X: length, Y: row})
		labels.Labels = append(labels.Labels, label)
	}
	texts, err := plotter.NewLabels(labels)
	if err != nil {
		return err
	}
	for i := range texts.TextStyle {
		texts.TextStyle[i] = letters(9, ink, all[i].kind == ours)
		texts.TextStyle[i].YAlign = draw.YCenter
	}
	texts.Offset = vg.Point{X: 4, Y: 1.5}
	p.Add(texts)
	return nil
}

func letters(size float64, ink color.Color, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: ink, Font: f, Handler: plot.DefaultTextHandler}
}

// thousands writes a number to about three digits, with a comma.
func thousands(v float64) string {
	n := int(v+50) / 100 * 100
	if n < 1000 {
		return strconv.Itoa(int(v + 0.5))
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
