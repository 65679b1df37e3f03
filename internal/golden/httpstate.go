package golden

// The state of the cases of http/ has five fields, each preserved or not as
// the case says. Tags are part of a type, so there is a type for each choice:
// a struct that embeds one of two structs for each field, which JSON and Stay
// see as plain fields.

// fields is what the handlers need of such a struct, whichever it is.
type fields interface {
	TheCount() *int
	TheUsername() *string
	TheTheme() *string
	TheCart() *[]string
	ThePrefs() *nested
}

type nested struct {
	N int `json:"n"`
}

type (
	count struct {
		Count int `json:"count"`
	}
	countKept struct {
		Count int `json:"count" stay:"preserve"`
	}
	username struct {
		Username string `json:"username"`
	}
	usernameKept struct {
		Username string `json:"username" stay:"preserve"`
	}
	theme struct {
		Theme string `json:"theme"`
	}
	themeKept struct {
		Theme string `json:"theme" stay:"preserve"`
	}
	cart struct {
		Cart []string `json:"cart"`
	}
	cartKept struct {
		Cart []string `json:"cart" stay:"preserve"`
	}
	prefs struct {
		Prefs nested `json:"prefs"`
	}
	prefsKept struct {
		Prefs nested `json:"prefs" stay:"preserve"`
	}
)

func (f *count) TheCount() *int              { return &f.Count }
func (f *countKept) TheCount() *int          { return &f.Count }
func (f *username) TheUsername() *string     { return &f.Username }
func (f *usernameKept) TheUsername() *string { return &f.Username }
func (f *theme) TheTheme() *string           { return &f.Theme }
func (f *themeKept) TheTheme() *string       { return &f.Theme }
func (f *cart) TheCart() *[]string           { return &f.Cart }
func (f *cartKept) TheCart() *[]string       { return &f.Cart }
func (f *prefs) ThePrefs() *nested           { return &f.Prefs }
func (f *prefsKept) ThePrefs() *nested       { return &f.Prefs }

// sites holds for each choice how its handlers are made. The five words say
// of count, username, theme, cart and prefs whether they are preserved.
var sites = map[[5]bool]newSite{
	{false, false, false, false, false}: newSiteOf[struct {
		count
		username
		theme
		cart
		prefs
	}],
	{false, false, false, false, true}: newSiteOf[struct {
		count
		username
		theme
		cart
		prefsKept
	}],
	{false, false, false, true, false}: newSiteOf[struct {
		count
		username
		theme
		cartKept
		prefs
	}],
	{false, false, false, true, true}: newSiteOf[struct {
		count
		username
		theme
		cartKept
		prefsKept
	}],
	{false, false, true, false, false}: newSiteOf[struct {
		count
		username
		themeKept
		cart
		prefs
	}],
	{false, false, true, false, true}: newSiteOf[struct {
		count
		username
		themeKept
		cart
		prefsKept
	}],
	{false, false, true, true, false}: newSiteOf[struct {
		count
		username
		themeKept
		cartKept
		prefs
	}],
	{false, false, true, true, true}: newSiteOf[struct {
		count
		username
		themeKept
		cartKept
		prefsKept
	}],
	{false, true, false, false, false}: newSiteOf[struct {
		count
		usernameKept
		theme
		cart
		prefs
	}],
	{false, true, false, false, true}: newSiteOf[struct {
		count
		usernameKept
		theme
		cart
		prefsKept
	}],
	{false, true, false, true, false}: newSiteOf[struct {
		count
		usernameKept
		theme
		cartKept
		prefs
	}],
	{false, true, false, true, true}: newSiteOf[struct {
		count
		usernameKept
		theme
		cartKept
		prefsKept
	}],
	{false, true, true, false, false}: newSiteOf[struct {
		count
		usernameKept
		themeKept
		cart
		prefs
	}],
	{false, true, true, false, true}: newSiteOf[struct {
		count
		usernameKept
		themeKept
		cart
		prefsKept
	}],
	{false, true, true, true, false}: newSiteOf[struct {
		count
		usernameKept
		themeKept
		cartKept
		prefs
	}],
	{false, true, true, true, true}: newSiteOf[struct {
		count
		usernameKept
		themeKept
		cartKept
		prefsKept
	}],
	{true, false, false, false, false}: newSiteOf[struct {
		countKept
		username
		theme
		cart
		prefs
	}],
	{true, false, false, false, true}: newSiteOf[struct {
		countKept
		username
		theme
		cart
		prefsKept
	}],
	{true, false, false, true, false}: newSiteOf[struct {
		countKept
		username
		theme
		cartKept
		prefs
	}],
	{true, false, false, true, true}: newSiteOf[struct {
		countKept
		username
		theme
		cartKept
		prefsKept
	}],
	{true, false, true, false, false}: newSiteOf[struct {
		countKept
		username
		themeKept
		cart
		prefs
	}],
	{true, false, true, false, true}: newSiteOf[struct {
		countKept
		username
		themeKept
		cart
		prefsKept
	}],
	{true, false, true, true, false}: newSiteOf[struct {
		countKept
		username
		themeKept
		cartKept
		prefs
	}],
	{true, false, true, true, true}: newSiteOf[struct {
		countKept
		username
		themeKept
		cartKept
		prefsKept
	}],
	{true, true, false, false, false}: newSiteOf[struct {
		countKept
		usernameKept
		theme
		cart
		prefs
	}],
	{true, true, false, false, true}: newSiteOf[struct {
		countKept
		usernameKept
		theme
		cart
		prefsKept
	}],
	{true, true, false, true, false}: newSiteOf[struct {
		countKept
		usernameKept
		theme
		cartKept
		prefs
	}],
	{true, true, false, true, true}: newSiteOf[struct {
		countKept
		usernameKept
		theme
		cartKept
		prefsKept
	}],
	{true, true, true, false, false}: newSiteOf[struct {
		countKept
		usernameKept
		themeKept
		cart
		prefs
	}],
	{true, true, true, false, true}: newSiteOf[struct {
		countKept
		usernameKept
		themeKept
		cart
		prefsKept
	}],
	{true, true, true, true, false}: newSiteOf[struct {
		countKept
		usernameKept
		themeKept
		cartKept
		prefs
	}],
	{true, true, true, true, true}: newSiteOf[struct {
		countKept
		usernameKept
		themeKept
		cartKept
		prefsKept
	}],
}
