package tests_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	staylib "github.com/stay-go/stay"
)

// The table of metrics in the guide is the list that programs get.
func TestMetricsAreDocumented(t *testing.T) {
	var documented, listed []string
	for line := range strings.Lines(string(readFile(t, filepath.Join(root, "docs", "observability.md")))) {
		if strings.HasPrefix(line, "| `stay.") && strings.Count(line, " | ") == 4 {
			documented = append(documented, strings.TrimSpace(line))
		}
	}
	for _, m := range staylib.AllMetrics() {
		attributes := make([]string, len(m.Attributes))
		for i, a := range m.Attributes {
			attributes[i] = "`" + a + "`"
		}
		listed = append(listed, fmt.Sprintf("| `%s` | %s | `%s` | %s | %s |", m.Name, m.Kind, m.Unit, strings.Join(attributes, ", "), m.Description))
	}
	for _, row := range listed {
		if !slices.Contains(documented, row) {
			t.Errorf("docs/observability.md lacks the row\n%s", row)
		}
	}
	for _, row := range documented {
		if !slices.Contains(listed, row) {
			t.Errorf("docs/observability.md has a row of a metric that is not, or not so\n%s", row)
		}
	}
}

// What users import logs through the App's logger and nothing else: the default
// logger is named once in each package that needs one where there is no App.
func TestOneLogger(t *testing.T) {
	mayDefault := []string{"options.go", "web/options.go"}
	for _, p := range list(t, "work") {
		if slices.ContainsFunc(unpublished, func(dir string) bool { return matches(stay+"/"+dir+"/...", p.ImportPath) }) {
			continue
		}
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			short := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, stay)+"/"+name, "/")
			for _, imported := range file.Imports {
				if imported.Path.Value == `"log"` {
					t.Errorf("%s imports log: use the App's logger", short)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				global := []string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "SetDefault", "With"}
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "slog" &&
					(slices.Contains(global, sel.Sel.Name) || sel.Sel.Name == "Default" && !slices.Contains(mayDefault, short)) {
					t.Errorf("%s uses slog.%s: use the App's logger", short, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// The adapter for OpenTelemetry needs its API; the SDK is the program's choice.
func TestOpenTelemetryAdapterNeedsNoSDK(t *testing.T) {
	found := false
	for _, p := range list(t, "work") {
		if p.ImportPath != stay+"/stayotel" {
			continue
		}
		found = true
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "go.opentelemetry.io/otel/sdk") || strings.Contains(dep, "/exporters/") {
				t.Errorf("stayotel imports %s", dep)
			}
		}
	}
	if !found {
		t.Error("there is no stayotel")
	}
}
