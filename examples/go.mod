module github.com/stay-go/stay/examples

go 1.26.0

require (
	github.com/a-h/templ v0.3.1118
	github.com/starfederation/datastar-go v1.2.2
	github.com/stay-go/stay v0.0.0
	github.com/stay-go/stay/store/cloudflarestore v0.0.0
	github.com/stay-go/stay/store/natsstore v0.0.0
	github.com/stay-go/stay/store/pgstore v0.0.0
	github.com/stay-go/stay/store/redisstore v0.0.0
	github.com/stay-go/stay/store/sqlitestore v0.0.0
	github.com/stay-go/stay/tests v0.0.0
)

require (
	github.com/CAFxX/httpcompression v0.0.9 // indirect
	github.com/a-h/parse v0.0.42 // indirect
	github.com/andybalholm/brotli v1.3.0 // indirect
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/chromedp/cdproto v0.159.0 // indirect
	github.com/chromedp/chromedp v0.23.0 // indirect
	github.com/cli/browser v1.3.0 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/fatih/color v1.19.0 // indirect
	github.com/fsnotify/fsnotify v1.10.1 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/pgx/v5 v5.12.0 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
	github.com/mattn/go-colorable v0.1.16 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/natefinch/atomic v1.0.1 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/redis/rueidis v1.0.79 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/mod v0.43.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
	modernc.org/sqlite v1.61.1 // indirect
)

replace (
	github.com/stay-go/stay => ..
	github.com/stay-go/stay/store/cloudflarestore => ../store/cloudflarestore
	github.com/stay-go/stay/store/natsstore => ../store/natsstore
	github.com/stay-go/stay/store/pgstore => ../store/pgstore
	github.com/stay-go/stay/store/redisstore => ../store/redisstore
	github.com/stay-go/stay/store/sqlitestore => ../store/sqlitestore
	github.com/stay-go/stay/tests => ../tests
)

// The newest version that the tests of modernc.org/sqlite ask for cannot be
// had from every module proxy.
replace github.com/google/pprof => github.com/google/pprof v0.0.0-20250317173921-a4b03ec1a45e

tool github.com/a-h/templ/cmd/templ
