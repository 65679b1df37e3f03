package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// broken returns the text of the mutant's file with its line broken.
func (m *mutant) broken(text string) (string, error) {
	switch n := strings.Count(text, m.old); {
	case n == 0:
		return "", fmt.Errorf("mutant %q: %s does not hold this text any more: find the line that does its work now and name that:\n%s", m.name, m.file, m.old)
	case n > 1:
		return "", fmt.Errorf("mutant %q: %s holds this text %d times: add what is around the one that is meant:\n%s", m.name, m.file, n, m.old)
	case m.old == m.new:
		return "", fmt.Errorf("mutant %q: the new text is the old one", m.name)
	}
	return strings.Replace(text, m.old, m.new, 1), nil
}

// check says of all mutants whose texts do not fit why they do not.
func check(root string, all []mutant) (problems []error) {
	names := map[string]bool{}
	for i := range all {
		m := &all[i]
		if names[m.name] {
			problems = append(problems, fmt.Errorf("two mutants are named %q", m.name))
		}
		names[m.name] = true
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err == nil {
			_, err = m.broken(string(text))
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// overlay writes a file for -overlay in which the files have these texts.
func overlay(dir, root string, texts map[string]string) (path string, err error) {
	replace := map[string]string{}
	for file, text := range texts {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = copied
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// layers spreads mutants over as few sets as possible, in each of which all
// can be in place at once. It is for texts that check has found to fit.
func layers(root string, all []mutant) (sets []map[string]string, err error) {
	for i := range all {
		m := &all[i]
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			return nil, err
		}
		placed := false
		for _, texts := range sets {
			now, ok := texts[m.file]
			if !ok {
				now = string(text)
			}
			if changed, err := m.broken(now); err == nil {
				texts[m.file], placed = changed, true
				break
			}
		}
		if placed {
			continue
		}
		changed, err := m.broken(string(text))
		if err != nil {
			return nil, err
		}
		sets = append(sets, map[string]string{m.file: changed})
	}
	return sets, nil
}
