module github.com/stay-go/stay/store/redisstore

go 1.26.0

require (
	github.com/redis/rueidis v1.0.79
	github.com/stay-go/stay v0.0.0
)

require golang.org/x/sys v0.47.0 // indirect

replace github.com/stay-go/stay => ../..
