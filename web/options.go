package web

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/bind"
	"github.com/stay-go/stay/internal/loglimit"
)

// Secure says when the session cookie is for https only.
type Secure uint8

const (
	// SecureAuto, the default, follows the request: https gets the cookie
	// __Host-stay with the attribute Secure, plain http gets stay without it.
	SecureAuto Secure = iota
	// SecureAlways treats every request as https. Use it for a server behind a
	// proxy that ends TLS and does not say so. Browsers drop the cookie on
	// plain http, except on localhost.
	SecureAlways
	// SecureNever treats every request as plain http. Anybody on the network
	// path may read and set the cookie: use it for tests and closed networks.
	SecureNever
)

// Options change what [Sessions] does. The zero value and nil mean the
// defaults. Sessions copies them, so later changes have no effect.
type Options struct {
	// Cookie is the name of the session cookie, "stay" by default. On https the
	// prefix __Host- is put before it, with Embedded __Host-embedded-. Several
	// programs on one host need different names, even on different ports and
	// paths: browsers keep one cookie of a name, so each would replace the
	// other's. A cookie that another program may have signed is logged, once.
	Cookie string
	// Keys sign the cookie: the first signs, all verify. Each has at least 32
	// random bytes. To rotate them, add a new key at the end on every process,
	// then make it the first, and remove the old one when its cookies have
	// expired, after stay.Options.IdleTimeout.
	//
	// By default the App makes a key at first use and keeps it in its store, in
	// the record "stay/keys" that all processes on the store share. Every 30
	// days it adds a new key, which signs ten minutes later, when every process
	// knows it. An old key is removed when all its cookies have expired. A
	// record that cannot be read is stay.ErrCorrupt and stays for repair;
	// processes that have read it before go on with the keys they know.
	//
	// If a key has leaked, remove it from Keys, or delete the record. Then one
	// process makes a new key. Running processes switch to it within about two
	// minutes, and restarted ones at once. Cookies of the old keys are no
	// longer valid: their browsers get new sessions, with initial state and
	// nobody logged in, and what the old sessions stored is removed when it
	// expires.
	Keys [][]byte
	// Secure overrides how the scheme of a request is found.
	Secure Secure
	// Embedded is for pages that other sites show in a frame: on https the
	// cookie is SameSite=None and Partitioned, so it is sent there, and the
	// visitor has another session below each site that shows the page. Its name is
	// __Host-embedded-stay. On plain http the cookie stays as it is, SameSite=Lax.
	// Posts are still taken only from pages of this origin. Say with the header
	// Content-Security-Policy which sites may show the page (frame-ancestors).
	//
	// Where Embedded is switched on or off, sessions go on: a browser's earlier
	// cookie counts until the browser gets one of the new name, which clears it.
	Embedded bool
	// TrustProxy believes the header X-Forwarded-Proto. Set it only behind a
	// proxy that sets or removes the header itself; otherwise the client
	// chooses. Without it the scheme is https if the connection is TLS, and a
	// request over plain http whose header says https is logged, once.
	TrustProxy bool
	// CrossOrigin decides which requests from other origins pass. By default no
	// request passes that could change anything, and none with the header
	// Upgrade, with which a WebSocket begins; refusals are logged with Origin
	// and Host, at most ten a second. Add trusted origins for a proxy
	// that rewrites Host, and bypass patterns for webhooks; a pattern for a
	// WebSocket must have no method. Its deny handler is not used: refusals are
	// errors like all others.
	CrossOrigin *http.CrossOriginProtection
	// MaxBody is the number of bytes of a request's body that View, Update, Do,
	// Handle and Actions read, or let their functions read, and that Payload
	// and Bind read; 1 MiB by default. Longer bodies are answered with 413. If
	// a form was parsed before, Update, Do, Actions, Payload and Bind count its
	// names and values, and all but Payload and Bind its files. Plain handlers
	// that read the body themselves set their own limit with
	// http.MaxBytesReader.
	MaxBody int64
	// IgnoreField reports whether a name of a body is left out if the struct
	// that the body is bound to does not have it, such as "coupon",
	// "address.floor" or "items[2].note". A name that is not left out is
	// stay.ErrMalformed.
	//
	// By default all such names are left out of forms, of addresses and of the
	// JSON that htmx and Datastar send, because a page has more than one part
	// and may be newer than the program; in development mode the log names each
	// once. No name is left out of other JSON. Names of well-known tokens and
	// captchas, names that begin with an underscore, and where a button with an
	// image was clicked, are always left out of what a page sends.
	//
	// Names of fields tagged stay:"private" or stay:"key" are errors in any case.
	// It may be called concurrently.
	IgnoreField func(r *http.Request, name string) bool
	// Message returns the text for a person about a value that does not fit, in
	// place of the built-in English text, which is used if Message returns "".
	// key says what is wrong, and args has the values that belong to it:
	//
	//	text, number, whole_number, boolean, date   what it must be
	//	whole_number_between                        the same; args: least, greatest
	//	required                                    nothing was typed
	//	too_large, too_small                        numbers beyond what 64 bits or a fraction can hold
	//	list, object                                what it must be, in JSON
	//	refused                                     a type that reads itself refuses it
	//	several                                     too many values; args: their number
	//	too_many                                    too many items; args: how many may be
	//	digits, base64                              numbers and bytes in JSON
	//
	// Other keys are about bodies that only a program can have made. A new
	// version of Stay may have more keys. It may be called concurrently.
	Message func(r *http.Request, field, key string, args ...any) string
	// MaxResponse is the number of bytes that View, Update, Do and Handle
	// buffer, 4 MiB by default. A longer response is answered with 500, and an
	// Update that wrote it commits nothing.
	MaxResponse int
	// Live is about the event streams of [Live] and [Actions].
	Live LiveOptions
	// Error writes the body for an error in place of the built-in text, HTML
	// fragment or JSON. If it writes more than MaxResponse, the built-in body
	// is sent instead. w is buffered. Headers that the failed handler set to
	// describe its own body are removed. The status is sent unless Error sets
	// another one. err may hold causes that are not for clients: show
	// stay.FieldErrors and your own texts, never err itself.
	Error func(w http.ResponseWriter, r *http.Request, status int, err error)
}

// LiveOptions change what the event streams of [Live] and [Actions] do. Zero
// values mean the defaults.
type LiveOptions struct {
	// Every is the least time between two messages of one stream, 50 ms by
	// default. The first change after a pause is sent at once, and the last
	// always.
	Every time.Duration
	// Heartbeat is about how long nothing is sent before a comment is, which keeps
	// proxies from closing the connection; 20 s by default.
	Heartbeat time.Duration
	// MaxAge is about how long a stream lasts, 30 min by default. Then the client
	// comes back, and gets what is different.
	MaxAge time.Duration
	// Max is how many streams may be open at once, 10,000 by default: those of all
	// handlers behind one Sessions, or of one handler elsewhere. Further clients
	// are told to come back in 10 to 30 s. A stream takes about 30 KB.
	Max int
	// PerBrowser is how many streams one session may have open, 4 by default: a
	// browser has six connections for one host, and with all of them taken by
	// streams a further tab would hang. If there are more, the oldest is told to
	// come back in about 5 s. It is at least 32 where the browser has HTTP/2: if
	// the request has come with it, or through a trusted proxy and https. See
	// TrustProxy. Streams without a session are not counted.
	PerBrowser int
	// Several says what happens when a page of a session opens a stream while
	// another one has it open: by default both do. See [Several].
	Several Several
}

// Several says how many pages of one session may have the same stream open: that of
// one handler and, for [PartAt], of the same keys, or for [PartOf], of the same
// address. It counts streams and not requests, so a page that is loaded again, or a
// client that comes back, takes the place of its own stream before. A stream without
// a session is not counted.
type Several uint8

const (
	// AllowMultiple lets every page have it: several tabs are normal.
	AllowMultiple Several = iota
	// KickOld ends the stream of the page before, which does not come back until it
	// is loaded again.
	KickOld
	// RejectNew ends the new stream at once, and the page does not come back until
	// it is loaded again. If the page before is about to go, as when it is loaded
	// again, the new one gets its place: it waits for that for 3 seconds. A client
	// whose network has vanished may keep its place for minutes.
	RejectNew
)

// withDefaults fills in what is zero. It panics on what makes no sense.
func (o LiveOptions) withDefaults() LiveOptions {
	if o.Every < 0 || o.Heartbeat < 0 || o.MaxAge < 0 || o.Max < 0 || o.PerBrowser < 0 {
		panic("web: the fields of Options.Live must not be negative; 0 is the default")
	}
	if o.Several > RejectNew {
		panic("web: Options.Live.Several must be AllowMultiple, KickOld or RejectNew")
	}
	return LiveOptions{
		Every:      cmp.Or(o.Every, 50*time.Millisecond),
		Heartbeat:  cmp.Or(o.Heartbeat, 20*time.Second),
		MaxAge:     cmp.Or(o.MaxAge, 30*time.Minute),
		Max:        cmp.Or(o.Max, 10_000),
		PerBrowser: cmp.Or(o.PerBrowser, 4),
		Several:    o.Several,
	}
}

// String describes the options for logs. It counts the Keys and shows none.
func (o Options) String() string {
	return fmt.Sprintf("web.Options{Cookie:%q Keys:(%d hidden) Secure:%d Embedded:%t TrustProxy:%t CrossOrigin:%t MaxBody:%d MaxResponse:%d Error:%t IgnoreField:%t Message:%t Live:%+v}",
		o.Cookie, len(o.Keys), o.Secure, o.Embedded, o.TrustProxy, o.CrossOrigin != nil, o.MaxBody, o.MaxResponse, o.Error != nil, o.IgnoreField != nil, o.Message != nil, o.Live)
}

// Format implements fmt.Formatter: with every verb, Options are printed as
// [Options.String] does. Package fmt does not call it for Options in an
// unexported field of a struct: do not print your structs that hold Keys.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.String()) }

// LogValue implements slog.LogValuer: Options are logged as [Options.String]
// prints them.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

const (
	defaultCookie      = "stay"
	defaultMaxBody     = 1 << 20
	defaultMaxResponse = 4 << 20
)

// settings are Options with the defaults filled in. They do not change after
// construction, except for the last fields.
type settings struct {
	app         *stay.App
	core        access.App
	ring        access.Keyring
	plainName   string
	secureName  string
	otherName   string // secureName before Embedded was switched
	secure      Secure
	embedded    bool
	trustProxy  bool
	crossOrigin *http.CrossOriginProtection
	maxBody     int64
	maxResponse int
	onError     func(http.ResponseWriter, *http.Request, int, error)
	ignoreField func(*http.Request, string) bool
	message     func(*http.Request, string, string, ...any) string
	live        LiveOptions

	streams streams
	binder  bind.Binder
	buffers sync.Pool      // of *[]byte, for responses
	crowds  loglimit.Limit // of log lines
	ignored names          // of fields that were left out

	// unshared says that a cookie meant for shared caches was logged, unseen
	// that a cookie without a visible answer was logged.
	unshared, unseen atomic.Bool

	refusals  loglimit.Limit // of requests from other origins
	proxySeen atomic.Bool    // a proxy that ends TLS and is not trusted
	strangers atomic.Bool    // a form of another site has begun a session
}

func newSettings(app *stay.App, o *Options) *settings {
	if o == nil {
		o = &Options{}
	}
	if app == nil {
		panic("web: Sessions needs an App: make one with stay.New")
	}
	core := access.AppOf(app)
	s := &settings{
		app:         app,
		core:        core,
		ring:        core.Keyring(o.Keys),
		plainName:   o.Cookie,
		secure:      o.Secure,
		embedded:    o.Embedded,
		trustProxy:  o.TrustProxy,
		crossOrigin: o.CrossOrigin,
		maxBody:     o.MaxBody,
		maxResponse: o.MaxResponse,
		onError:     o.Error,
		ignoreField: o.IgnoreField,
		message:     o.Message,
		live:        o.Live.withDefaults(),
	}
	if s.plainName == "" {
		s.plainName = defaultCookie
	}
	checkCookieName(s.plainName)
	s.secureName, s.otherName = hostPrefix+s.plainName, hostPrefix+embeddedPrefix+s.plainName
	if s.embedded {
		s.secureName, s.otherName = s.otherName, s.secureName
	}
	if s.secure > SecureNever {
		panic("web: Options.Secure must be SecureAuto, SecureAlways or SecureNever")
	}
	if s.crossOrigin == nil {
		s.crossOrigin = http.NewCrossOriginProtection()
	}
	if s.maxBody < 0 || s.maxResponse < 0 {
		panic("web: Options.MaxBody and Options.MaxResponse must not be negative; 0 is the default")
	}
	if s.maxBody == 0 {
		s.maxBody = defaultMaxBody
	}
	if s.maxResponse == 0 {
		s.maxResponse = defaultMaxResponse
	}
	return s
}

// checkCookieName panics on a name that browsers would refuse, or that has a
// prefix which Sessions adds itself when it applies.
func checkCookieName(name string) {
	if err := (&http.Cookie{Name: name, Value: "x"}).Valid(); err != nil {
		panic(fmt.Sprintf("web: Options.Cookie %q cannot name a cookie: use letters, digits, - and _", name))
	}
	if strings.HasPrefix(name, "__") {
		panic(fmt.Sprintf("web: Options.Cookie %q must not begin with __: the prefix __Host- is added on https", name))
	}
}

// outside returns the settings of handlers that do not stand behind Sessions.
// core is nil if no App is known.
func outside(core access.App) *settings {
	return &settings{core: core, maxBody: defaultMaxBody, maxResponse: defaultMaxResponse, live: LiveOptions{}.withDefaults()}
}

// settingsOf returns the settings of the Sessions that r came through, or those
// of outside if it came through none.
func settingsOf(r *http.Request, outside func() *settings) *settings {
	if x := exchangeOf(r.Context()); x != nil {
		return x.settings
	}
	return outside()
}

// unknownApp returns the settings outside Sessions if no App is known.
func unknownApp() *settings { return outside(nil) }

func (s *settings) logger() *slog.Logger {
	if s.core == nil {
		return slog.Default()
	}
	return s.core.Logger()
}

func (s *settings) development() bool {
	return s.core != nil && s.core.Development()
}
