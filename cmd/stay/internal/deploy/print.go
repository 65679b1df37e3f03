package deploy

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Print writes the plan for people.
func (p *Plan) Print(w io.Writer) error {
	out := bufio.NewWriter(w)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	line("%s on %s, records in %s, instances: %d", p.Name, list(p.Targets), p.Store, p.Instances)
	line("\nIt needs")
	for _, n := range p.Needs {
		line("  %s\n      %s", n.What, n.Why)
	}
	if len(p.Warnings) > 0 {
		line("\nNote")
		for _, text := range p.Warnings {
			line("  %s", text)
		}
	}
	line("\nFiles")
	for _, f := range p.Files {
		line("  %-9s  %s: %s", f.Action, f.Path, f.Why)
	}
	for _, f := range p.Files {
		if f.Diff != "" {
			line("\n%s", strings.TrimSuffix(f.Diff, "\n"))
		}
	}
	if len(p.Secrets) > 0 {
		line("\nSecrets")
		for _, s := range p.Secrets {
			where := "you have it: give it to the target"
			switch {
			case s.Made:
				where = "is made, in " + s.Path
			case s.Path != "":
				where = "belongs into " + s.Path
				if s.there {
					where = "is there, in " + s.Path
				}
			}
			line("  %s %s: %s", s.Name, where, s.Why)
		}
	}
	if len(p.Refusals) > 0 {
		line("\nRefused")
		for _, r := range p.Refusals {
			line("  %s\n      %s", r.Why, r.Fix)
		}
	} else if len(p.Steps) > 0 {
		line("\nThen")
		for _, s := range p.Steps {
			line("  %s", s)
		}
	}
	return out.Flush()
}
