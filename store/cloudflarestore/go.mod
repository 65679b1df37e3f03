module github.com/stay-go/stay/store/cloudflarestore

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/stay-go/stay v0.0.0
)

replace github.com/stay-go/stay => ../..
