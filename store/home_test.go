package store_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
)

// Records that belong together have one home, and no others have it.
//
// Proves A17, C5.
func TestHome(t *testing.T) {
	for key, want := range map[string]string{
		"session/cart/s1":                       "session/s1",
		"session/other/s1":                      "session/s1",
		"guest/cart/s1":                         "session/s1",
		"guest/cart/s1.12":                      "session/s1",
		"stay/session/s1":                       "session/s1",
		"stay/claim/stay/session/s1":            "session/s1",
		"stay/expired/7/session/cart/s1":        "session/s1",
		"stay/expired/7/guest/cart/s1.2":        "session/s1",
		"stay/claim/stay/expired/7/guest/c/s.1": "session/s",
		"user/cart/ann":                         "user/ann",
		"user/cart/ann/../.b":                   "user/ann/../.b",
		"stay/user/ann":                         "user/ann",
		"stay/claim/user/cart/ann":              "user/ann",
		"stay/turn/user/cart/ann":               "user/ann",
		"stay/present/user/cart/ann":            "user/ann",
		"stay/present/key/room/a/b":             "key/room/a/b",
		"stay/present/global/counter/":          "global/counter",
		"stay/present/guest/cart/s1.2":          "session/s1",
		"stay/expired/9/user/cart/ann":          "user/ann",
		"key/room/a/b":                          "key/room/a/b",
		"stay/claim/key/room/a":                 "key/room/a",
		"stay/expired/1/key/room/a":             "key/room/a",
		"global/counter/":                       "global/counter",
		"stay/expired/1/global/counter/":        "global/counter",
		"stay/tx/Id-_/user/cart/a/b":            "user/a/b",
		"stay/tx/Id-_/stay/session/s1":          "session/s1",
		"stay/tx/Id":                            "stay/tx/Id",
		"stay/keys":                             "stay/keys",
		"stay/modules":                          "stay/modules",
		"stay/check":                            "stay/check",
		"stay/expired/7":                        "stay/expired/7",
		"stay/later/thing":                      "stay/later/thing",
		"":                                      "",
		"x":                                     "x",
		"\x00/\xff":                             "\x00/\xff",
	} {
		if got := store.Home(key); got != want {
			t.Errorf("the home of %q is %q, want %q", key, got, want)
		}
	}
}

// A store without groups over several homes takes those at one home, and only
// those.
//
// Proves C5, C6.
func TestCheckGroupsAtHome(t *testing.T) {
	groups := []store.Group{
		{{Key: "session/cart/s1"}, {Key: "stay/session/s1", Op: store.Check}},
		{{Key: "session/cart/s2"}, {Key: "stay/user/ann", Op: store.Check}},
		{{Key: "user/cart/ann"}},
	}
	errs := store.CheckGroups(groups, store.Features{GroupsAtHome: true})
	if len(errs) != 3 || errs[0] != nil || errs[2] != nil || errs[1] == nil || !strings.Contains(errs[1].Error(), "several homes") {
		t.Errorf("with groups at home: %v", errs)
	}
	if errs := store.CheckGroups(groups, store.Features{Groups: true, GroupsAtHome: true}); errs != nil {
		t.Errorf("with groups: %v", errs)
	}
	if errs := store.CheckGroups(groups, store.Features{}); len(errs) != 3 || errs[0] == nil || errs[1] == nil {
		t.Errorf("without: %v", errs)
	}
}
