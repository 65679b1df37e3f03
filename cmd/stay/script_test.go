package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/manifest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"stay":    main,
		"visit":   func() { end(visit()) },
		"put":     func() { end(put()) },
		"hold":    func() { end(hold()) },
		"change":  func() { end(change()) },
		"shop":    func() { end(shop()) },
		"clear":   func() { end(os.WriteFile(os.Args[1], []byte("\x1b[2J\n"), 0o600)) },
		"scratch": func() { end(os.RemoveAll("app.db")) },
		"empty":   func() { end(os.WriteFile("app.db", nil, 0o600)) },
		"odd":     func() { end(write("key/odd\x1b/\x1b[2J", `{"a":"`+"\\u001b[2J\u009b\u202e\x7f"+`"}`)) },
		"guest":   func() { end(guest()) },
	})
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What the command says and how it ends.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// code N COMMAND runs a command that ends with this exit code.
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := 0
				if exit, ok := errors.AsType[*exec.ExitError](err); ok {
					got = exit.ExitCode()
				}
				if strconv.Itoa(got) != args[0] {
					ts.Fatalf("exit code %d (%v), want %s", got, err, args[0])
				}
			},
			// mode BITS FILE
			"mode": func(ts *testscript.TestScript, _ bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[1]))
				ts.Check(err)
				if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
					ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
				}
			},
			// append FILE LINE
			"append": func(ts *testscript.TestScript, _ bool, args []string) {
				old := ts.ReadFile(args[0])
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(old+args[1]+"\n"), 0o600))
			},
			// waitfor NAME returns when a file exists.
			"waitfor": func(ts *testscript.TestScript, _ bool, args []string) {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for range 1000 {
					if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
						return
					}
					<-tick.C
				}
				ts.Fatalf("%s is not there after 10 s", args[0])
			},
		},
	})
}

type visits struct {
	N int `json:"n"`
}

type cart struct {
	Items []string `json:"items"`
	Note  string   `json:"note" stay:"private"`
}

// visit is an application that a browser has used once.
func visit() error {
	s, err := sqlitestore.Open("app.db")
	if err != nil {
		return err
	}
	app := stay.New(s, nil)
	all := stay.Register(app, stay.Module[visits]{Name: "visits", Persist: stay.Global})
	own := stay.Register(app, stay.Module[cart]{Name: "cart", Persist: stay.PerSession, Version: 3})
	h := web.Sessions(app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		if _, err := all.Update(r.Context(), func(v *visits) error { v.N++; return nil }); err != nil {
			return err
		}
		_, err := own.Update(r.Context(), func(c *cart) error { c.Items = append(c.Items, "pear"); return nil })
		return err
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	return app.Close(context.Background())
}

// shop prints the manifest of an application. Its arguments change it.
func shop() error {
	app := stay.New(memstore.New(), nil)
	m := stay.Module[cart]{Name: "cart", Persist: stay.PerSession, Version: 2, Migrate: map[int]func(json.RawMessage) (json.RawMessage, error){
		1: func(old json.RawMessage) (json.RawMessage, error) { return old, nil },
	}}
	for _, arg := range os.Args[1:] {
		switch arg {
		case "basket":
			m.Name = "basket"
		case "renamed":
			m.Name, m.Formerly = "basket", []string{"cart"}
		case "older":
			m.Version, m.Migrate = 1, nil
		case "newer":
			m.Version, m.Migrate = 3, nil
		case "peruser":
			m.Persist = stay.PerUser
		case "debounce":
			m.Debounce = time.Second
		case "gone":
			continue
		default:
			return fmt.Errorf("%s is not known", arg)
		}
	}
	if !slices.Contains(os.Args[1:], "gone") {
		stay.Register(app, m)
	}
	stay.Register(app, stay.Module[visits]{Name: "visits", Persist: stay.Global, Expiry: 24 * time.Hour, OnExpire: func(*stay.Call, *visits) {}})
	return errors.Join(manifest.Write(os.Stdout, app), app.Close(context.Background()))
}

// guest is an application that has stored the state of somebody who has not logged in.
func guest() error {
	s, err := sqlitestore.Open("app.db")
	if err != nil {
		return err
	}
	app := stay.New(s, &stay.Options{Guests: stay.GuestStored})
	own := stay.Register(app, stay.Module[cart]{Name: "cart", Persist: stay.PerUser})
	h := web.Sessions(app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := own.Update(r.Context(), func(c *cart) error { c.Items = append(c.Items, "pear"); return nil })
		return err
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	return app.Close(context.Background())
}

func write(key, value string) error {
	s, err := sqlitestore.Open("app.db")
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return s.Commit(context.Background(), []store.Group{{{Key: key, Value: []byte(value)}}})[0].Err
}

// put writes a record: put KEY VALUE [VERSION [EXPIRED-SINCE]].
func put() (err error) {
	s, err := sqlitestore.Open("app.db")
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	w := store.Write{Key: os.Args[1], Value: []byte(os.Args[2]), Version: 1}
	if len(os.Args) > 3 {
		if w.Version, err = strconv.Atoi(os.Args[3]); err != nil {
			return err
		}
	}
	if len(os.Args) > 4 {
		since, err := time.ParseDuration(os.Args[4])
		if err != nil {
			return err
		}
		w.Expires = time.Now().Add(-since)
	}
	old, err := s.Load(context.Background(), []store.Read{{Key: w.Key}})
	if err != nil {
		return err
	}
	w.Base = old[0].Revision
	return s.Commit(context.Background(), []store.Group{{w}})[0].Err
}

// hold has the file for itself until it is interrupted.
func hold() error {
	s, err := sqlitestore.Open("app.db")
	if err != nil {
		return err
	}
	if err := os.WriteFile("held", nil, 0o600); err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	select {}
}

// change changes a record that stay inspect history shows, until it is killed.
func change() error {
	s, err := sqlitestore.Open("app.db", sqlitestore.Shared(), sqlitestore.OwnerWait(10*time.Second))
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	var rev store.Revision
	for n := 0; ; n++ {
		res := s.Commit(context.Background(), []store.Group{{{Key: "global/n/", Base: rev, Value: fmt.Appendf(nil, `{"n":%d}`, n)}}})[0]
		if res.Outcome != store.Applied {
			return fmt.Errorf("%v: %w", res.Outcome, res.Err)
		}
		rev = res.Revisions[0]
		if err := os.WriteFile("changed", nil, 0o600); err != nil {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}
