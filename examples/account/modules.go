package main

import (
	"slices"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// A Tea is what the shop sells.
type Tea struct {
	ID, Name, About string
	// Colour is the colour of the cup, for the picture.
	Colour string
	// Price is the price of a tin, in cents.
	Price int
}

// teas are the teas of the shop, in the order of the page.
var teas = []Tea{
	{"assam", "Assam", "Strong and malty, from the valley of the Brahmaputra. Takes milk well.", "#8a3b12", 720},
	{"darjeeling", "Darjeeling", "A first flush: light, flowery, a little dry.", "#c8842a", 980},
	{"oolong", "Oolong", "Half oxidised and rolled by hand. Good for five infusions.", "#b5672d", 1150},
	{"sencha", "Sencha", "Steamed green tea. Best at 70 degrees, for one minute.", "#8fa63c", 860},
	{"rooibos", "Rooibos", "Not a tea, and has no caffeine: for the evening.", "#a3341f", 540},
	{"mint", "Mint", "Dried leaves and nothing else.", "#4f8f63", 480},
}

// teaOf returns the tea with this ID, otherwise nil.
func teaOf(id string) *Tea {
	i := slices.IndexFunc(teas, func(t Tea) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	return &teas[i]
}

// Profile is how the shop looks to a user, on all their devices.
type Profile struct {
	Name   string `json:"name"`
	Colour string `json:"colour"`
}

// colours are the colours that a profile may choose from; page.html names them.
var colours = []string{"teal", "blue", "plum", "amber"}

// profileModule keeps the stored profile: users who sign in see the page as
// they left it, not as a guest before them chose. That is the default; it is
// written out here as an example.
var profileModule = stay.Module[Profile]{
	Name:    "profile",
	Initial: Profile{Colour: "teal"},
	Persist: stay.PerUser,
	Adopt:   stay.KeepStored[Profile],
	Actions: stay.Actions[Profile]{
		"edit": stay.WithPayload(func(_ *stay.Call, p *Profile, in Profile) error {
			if utf8.RuneCountInString(in.Name) > 60 {
				return stay.Invalid("name", "at most 60 characters")
			}
			if !slices.Contains(colours, in.Colour) {
				return stay.Invalid("colour", "there is no such colour")
			}
			*p = in
			return nil
		}),
	},
}

// Cart is what a user, or a guest, is about to buy.
type Cart struct {
	// Tins holds the number of tins by the ID of the tea, 1 to maxTins.
	Tins map[string]int `json:"tins"`
}

const maxTins = 99

// A Pick is the payload of the actions of the cart.
type Pick struct {
	Tea string `json:"tea"`
}

// cartModule merges: what a guest has picked is added to the user's cart. A
// user without a cart gets the guest's cart as it is.
var cartModule = stay.Module[Cart]{
	Name:    "cart",
	Initial: Cart{Tins: map[string]int{}},
	Persist: stay.PerUser,
	Adopt: func(stored, guest *Cart) error {
		for id, n := range guest.Tins {
			stored.Tins[id] = min(stored.Tins[id]+n, maxTins)
		}
		return nil
	},
	Actions: stay.Actions[Cart]{
		"more": stay.WithPayload(func(_ *stay.Call, c *Cart, in Pick) error {
			if teaOf(in.Tea) == nil {
				return stay.Invalid("tea", "the shop does not have it")
			}
			if c.Tins[in.Tea] == maxTins {
				return stay.Invalid("tea", "that is as much as the shop sends")
			}
			c.Tins[in.Tea]++
			return nil
		}),
		"less": stay.WithPayload(func(_ *stay.Call, c *Cart, in Pick) error {
			if c.Tins[in.Tea]--; c.Tins[in.Tea] < 1 {
				delete(c.Tins, in.Tea)
			}
			return nil
		}),
	},
}

// Browser is what belongs to one browser, no matter who is signed in there: no
// login and no logout changes it.
type Browser struct {
	// Name is for the list of devices, such as "Firefox on Linux".
	Name string `json:"name"`
	// Viewed holds the IDs of the teas looked at, the latest first.
	Viewed []string `json:"viewed"`
}

const maxViewed = 4

func (b *Browser) view(id string) {
	b.Viewed = slices.DeleteFunc(b.Viewed, func(v string) bool { return v == id })
	b.Viewed = slices.Insert(b.Viewed, 0, id)
	b.Viewed = b.Viewed[:min(len(b.Viewed), maxViewed)]
}

var browserModule = stay.Module[Browser]{
	Name:    "browser",
	Persist: stay.PerSession,
}
