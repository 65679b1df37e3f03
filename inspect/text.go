package inspect

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxText bounds how much of a name is shown: clients choose many of them.
const maxText = 120

// printable returns a name as a person can read it. Names are any bytes: what
// could deceive the eye, such as marks that turn the direction of writing, is
// written as Go writes it.
func printable(s string) string {
	cut := ""
	if len(s) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], "…"
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s = strconv.QuoteToGraphic(s)
		s = s[1 : len(s)-1]
	}
	return s + cut
}

// number writes a number, which is not negative, with commas.
func number[T int | int64 | uint64](n T) string {
	s := strconv.FormatUint(uint64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes.
func size[T int | int64](n T) string {
	f := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if f < 1024 || unit == "MiB" {
			if unit == "B" || f >= 100 {
				return fmt.Sprintf("%.0f %s", f, unit)
			}
			return fmt.Sprintf("%.1f %s", f, unit)
		}
		f /= 1024
	}
	return ""
}

// lasts writes a duration with at most two units.
func lasts(d time.Duration) string {
	if d < time.Second {
		return d.Round(10 * time.Microsecond).String()
	}
	units := []struct {
		name string
		is   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.is {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.is, u.name)
		if i+1 < len(units) {
			if rest := d % u.is / units[i+1].is; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return text
	}
	return "0 s"
}

// took writes how long a call took.
func took(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 1:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// coarse leaves out what is small: a live page would be another one each second.
func coarse(d time.Duration, to func(d, unit time.Duration) time.Duration) time.Duration {
	switch {
	case d >= 24*time.Hour:
		return to(d, time.Hour)
	case d >= time.Minute:
		return to(d, time.Minute)
	}
	return to(d, time.Second)
}

// A moment is a time and how far away it is.
type moment struct{ Time, Text string }

// momentOf returns nil for the zero time.
func momentOf(t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	m := &moment{Time: t.UTC().Format("2006-01-02 15:04:05 UTC")}
	switch d := now.Sub(t).Round(time.Second); {
	case d == 0:
		m.Text = "now"
	case d > 0:
		m.Text = lasts(coarse(d, time.Duration.Truncate)) + " ago"
	default:
		m.Text = "in " + lasts(coarse(-d, time.Duration.Round))
	}
	return m
}

// rate writes how often something happens in a second.
func rate(f float64) string {
	switch {
	case f >= 100 || f == math.Trunc(f):
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}
