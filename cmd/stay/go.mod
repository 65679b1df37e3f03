module github.com/stay-go/stay/cmd/stay

go 1.26.0

require (
	github.com/dustin/go-humanize v1.1.0
	github.com/jackc/pgx/v5 v5.12.0
	github.com/redis/rueidis v1.0.79
	github.com/rogpeppe/go-internal v1.16.0
	github.com/schollz/progressbar/v3 v3.19.1
	github.com/spf13/cobra v1.10.2
	github.com/stay-go/stay v0.0.0
	github.com/stay-go/stay/store/cloudflarestore v0.0.0
	github.com/stay-go/stay/store/natsstore v0.0.0
	github.com/stay-go/stay/store/pgstore v0.0.0
	github.com/stay-go/stay/store/redisstore v0.0.0
	github.com/stay-go/stay/store/sqlitestore v0.0.0
	github.com/tailscale/hujson v0.0.0-20260727124030-b80ff77dac4f
	golang.org/x/term v0.48.0
)

require golang.org/x/tools v0.52.0 // indirect

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/klauspost/compress v1.20.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
	modernc.org/sqlite v1.61.1 // indirect
)

replace (
	github.com/stay-go/stay => ../..
	github.com/stay-go/stay/store/cloudflarestore => ../../store/cloudflarestore
	github.com/stay-go/stay/store/natsstore => ../../store/natsstore
	github.com/stay-go/stay/store/pgstore => ../../store/pgstore
	github.com/stay-go/stay/store/redisstore => ../../store/redisstore
	github.com/stay-go/stay/store/sqlitestore => ../../store/sqlitestore
)
