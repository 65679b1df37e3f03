package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// people are the parts of a case that are for its readers.
type people struct {
	ID       string
	Title    string
	Source   string
	Rules    []string
	Original string
}

// A moduleCase is a file of modules/.
type moduleCase struct {
	modules []*module
	refused [][]*module
	records []record
	faults  func(r *moduleRun) *faults
	steps   []step
	expect  []expectation // one of them holds
}

// A record is a state record: its key is "" for global and the name of the
// session for perSession.
type record struct {
	Module string
	Key    *string
	Value  json.RawMessage
}

// An expectation is what must hold after the last step.
type expectation struct {
	States  []expectedState
	Records []record
	Writes  json.RawMessage

	writes func(n int) error
}

type expectedState struct {
	Session, Module string
	Value           json.RawMessage
}

type moduleCaseText struct {
	people
	Modules []moduleText
	Refused [][]moduleText
	Records []record
	Store   *faultsText
	Steps   []json.RawMessage
	Expect  *struct {
		expectation
		AnyOf []expectation
	}
}

type faultsText struct {
	LoadDelayMs json.RawMessage
	SaveDelayMs json.RawMessage
	FailLoad    int
	FailSave    int
}

// parseModuleCase reads a file of modules/.
func parseModuleCase(raw []byte) (string, *moduleCase, error) {
	var text moduleCaseText
	if err := decode(raw, &text); err != nil {
		return "", nil, err
	}
	c, err := moduleCaseOf(&text)
	return text.ID, c, err
}

func moduleCaseOf(text *moduleCaseText) (c *moduleCase, err error) {
	if err := need(map[string]bool{
		"id": text.ID != "", "modules": text.Modules != nil, "records": text.Records != nil,
		"steps": text.Steps != nil, "expect": text.Expect != nil,
	}); err != nil {
		return nil, err
	}
	c = &moduleCase{records: text.Records}
	if c.modules, err = modulesOf(text.Modules); err != nil {
		return nil, err
	}
	for _, list := range text.Refused {
		modules, err := modulesOf(list)
		if err != nil {
			return nil, fmt.Errorf("refused: %w", err)
		}
		c.refused = append(c.refused, modules)
	}
	if c.faults, err = faultsOf(text.Store); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if c.steps, err = stepsOf(text.Steps, c); err != nil {
		return nil, err
	}
	c.expect = text.Expect.AnyOf
	if c.expect == nil {
		c.expect = []expectation{text.Expect.expectation}
	} else if e := text.Expect; e.States != nil || e.Records != nil || e.Writes != nil {
		return nil, errors.New("expect: anyOf stands alone")
	}
	for i := range c.expect {
		if err := c.checkExpectation(&c.expect[i]); err != nil {
			return nil, fmt.Errorf("expect: %w", err)
		}
	}
	return c, c.checkRecords(c.records)
}

// module returns the module with a name.
func (c *moduleCase) module(name string) (*module, error) {
	i := slices.IndexFunc(c.modules, func(m *module) bool { return m.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no module %q", name)
	}
	return c.modules[i], nil
}

func (c *moduleCase) checkRecords(records []record) error {
	for _, rec := range records {
		m, err := c.module(rec.Module)
		if err == nil {
			err = need(map[string]bool{"key": rec.Key != nil, "value": rec.Value != nil})
		}
		switch {
		case err != nil:
			return fmt.Errorf("record: %w", err)
		case m.prefix() == "":
			return fmt.Errorf("record: module %q stores nothing", m.name)
		case (m.strategy == "global") != (*rec.Key == ""):
			return fmt.Errorf("record: module %q, which is %s, has no key %q", m.name, m.strategy, *rec.Key)
		}
	}
	return nil
}

func (c *moduleCase) checkExpectation(e *expectation) (err error) {
	if err := need(map[string]bool{"states": e.States != nil, "records": e.Records != nil}); err != nil {
		return err
	}
	for _, s := range e.States {
		if _, err := c.module(s.Module); err != nil {
			return err
		}
		if err := need(map[string]bool{"session": s.Session != "", "value": s.Value != nil}); err != nil {
			return err
		}
	}
	if e.writes, err = writesOf(e.Writes); err != nil {
		return err
	}
	return c.checkRecords(e.Records)
}

func writesOf(raw json.RawMessage) (func(n int) error, error) {
	if raw == nil {
		return func(int) error { return nil }, nil
	}
	var exact *int
	if json.Unmarshal(raw, &exact) == nil && exact != nil {
		return func(n int) error {
			if n != *exact {
				return fmt.Errorf("%d writes of state records, want %d", n, *exact)
			}
			return nil
		}, nil
	}
	var most struct{ Max *int }
	if err := decode(raw, &most); err != nil || most.Max == nil {
		return nil, fmt.Errorf("writes is %s, want a number or a max", raw)
	}
	return func(n int) error {
		if n > *most.Max {
			return fmt.Errorf("%d writes of state records, want at most %d", n, *most.Max)
		}
		return nil
	}, nil
}

// faultsOf reads what goes wrong with the store. Keys are those of the case,
// so they are known only when the sessions are there.
func faultsOf(text *faultsText) (func(r *moduleRun) *faults, error) {
	if text == nil {
		return func(*moduleRun) *faults { return &faults{} }, nil
	}
	var every int
	var byKey map[string]int
	if raw := text.LoadDelayMs; raw != nil && json.Unmarshal(raw, &every) != nil {
		if err := json.Unmarshal(raw, &byKey); err != nil {
			return nil, err
		}
	}
	var each int
	var list []int
	if raw := text.SaveDelayMs; raw != nil {
		into := any(&each)
		if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
			into = &list
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, err
		}
	}
	return func(r *moduleRun) *faults {
		f := &faults{failLoad: text.FailLoad, failSave: text.FailSave}
		if text.LoadDelayMs != nil {
			f.loadDelay = func(key string) time.Duration {
				_, key = r.name(key)
				return milliseconds(every + byKey[key])
			}
		}
		if text.SaveDelayMs != nil {
			f.saveDelay = func(n int) time.Duration {
				if n < len(list) {
					return milliseconds(list[n])
				}
				return milliseconds(each)
			}
		}
		return f
	}, nil
}
