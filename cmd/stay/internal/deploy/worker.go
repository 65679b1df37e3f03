package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/tailscale/hujson"
)

// A worker is what a configuration of wrangler says, as far as records depend on
// it.
type worker struct {
	Name    string `json:"name"`
	Main    string `json:"main"`
	Objects struct {
		Bindings []binding `json:"bindings"`
	} `json:"durable_objects"`
	Exports map[string]struct {
		Type    string `json:"type"`
		Storage string `json:"storage"`
	} `json:"exports"`
	Migrations []any `json:"migrations"`
	Containers []struct {
		Class string `json:"class_name"`
	} `json:"containers"`
}

type binding struct {
	Name   string `json:"name"`
	Class  string `json:"class_name"`
	Script string `json:"script_name"`
}

func parseWorker(name string, text []byte) (w worker, err error) {
	plain, err := hujson.Standardize(slices.Clone(text))
	if err == nil {
		err = json.Unmarshal(plain, &w)
	}
	if err != nil {
		err = fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return w, err
}

// checkWorker checks what wrangler does not: it takes a configuration whose
// exports name other classes than its bindings, and one that leaves objects
// behind.
func (p *Plan) checkWorker() error {
	files := map[string]*File{}
	for i := range p.Files {
		files[p.Files[i].name] = &p.Files[i]
	}
	f := files["wrangler.jsonc"]
	w, err := parseWorker(f.Path, f.effective())
	if err != nil {
		return err
	}
	script := files[w.Main]
	if script == nil {
		p.refuse(fmt.Sprintf("%s has main %q, which is none of the files", f.Path, w.Main), "put main back")
		return nil
	}
	p.agree(f.Path, w, classes(script.effective()))
	if f.present == nil {
		return nil
	}
	rendered, err := parseWorker(f.Path, f.text)
	if err != nil {
		return err
	}
	deployed, err := parseWorker(f.Path, f.present)
	if err != nil {
		return err
	}
	p.leavesBehind(f.Path, deployed, rendered)
	return nil
}

// agree checks that bindings, exports and the classes of the script are the same.
func (p *Plan) agree(path string, w worker, script []string) {
	const fix = "remove the changes by hand, or overwrite the file with --force"
	bound := map[string]bool{}
	for _, b := range w.Objects.Bindings {
		if b.Script == "" {
			bound[b.Class] = true
		}
	}
	for _, class := range slices.Sorted(maps.Keys(bound)) {
		if e, ok := w.Exports[class]; !ok {
			p.refuse(fmt.Sprintf("%s binds class %s and does not export it: its objects would not be made", path, class), fix)
		} else if e.Type != "durable-object" || e.Storage != "sqlite" {
			p.refuse(fmt.Sprintf("%s exports class %s as %s with storage %q: records need a durable-object with storage sqlite", path, class, e.Type, e.Storage), fix)
		}
		if !slices.Contains(script, class) {
			p.refuse(fmt.Sprintf("%s binds class %s, which the script %s does not have", path, class, w.Main), fix)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(w.Exports)) {
		if !bound[class] {
			p.refuse(fmt.Sprintf("%s exports class %s and binds it to no name", path, class), fix)
		}
	}
	for _, class := range script {
		if !bound[class] {
			p.refuse(fmt.Sprintf("the script %s has class %s, to which %s binds no name", w.Main, class, path), fix)
		}
	}
}

// leavesBehind refuses a configuration that has other objects than the one that is
// there.
func (p *Plan) leavesBehind(path string, old, rendered worker) {
	fix := "keep it as it is in " + path + "; if nothing is stored there, remove " + path + " first"
	if old.Name != rendered.Name {
		p.refuse(fmt.Sprintf("the Worker is called %s and would be called %s: the objects belong to the Worker, so it would begin without records", old.Name, rendered.Name),
			"use --name "+old.Name+"; if nothing is stored there, remove "+path+" first")
	}
	if len(old.Migrations) > 0 {
		p.refuse(path+" has migrations, in place of which exports would stand", "move to exports by hand first, as wrangler describes it")
	}
	for _, b := range old.Objects.Bindings {
		i := slices.IndexFunc(rendered.Objects.Bindings, func(n binding) bool { return n.Name == b.Name })
		switch {
		case i < 0:
			p.refuse(fmt.Sprintf("the binding %s to class %s would be gone", b.Name, b.Class), fix)
		case rendered.Objects.Bindings[i] != b:
			p.refuse(fmt.Sprintf("the binding %s has class %s and would have %s: objects belong to their class, so their records would be out of reach", b.Name, b.Class, rendered.Objects.Bindings[i].Class), fix)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(old.Exports)) {
		if _, ok := rendered.Exports[class]; !ok {
			p.refuse(fmt.Sprintf("class %s would not be exported any more: its objects and their records would be deleted", class), fix)
		}
	}
}

var (
	classLine  = regexp.MustCompile(`(?m)^export\s+class\s+(\w+)\s+extends\s+DurableObject\b`)
	exportLine = regexp.MustCompile(`(?m)^export\s*\{([^}]*)\}`)
	className  = regexp.MustCompile(`\w+`)
)

// classes returns the classes of objects that a script exports.
func classes(script []byte) (names []string) {
	for _, m := range classLine.FindAllSubmatch(script, -1) {
		names = append(names, string(m[1]))
	}
	for _, m := range exportLine.FindAllSubmatch(script, -1) {
		for _, name := range className.FindAll(m[1], -1) {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
