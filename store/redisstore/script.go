package redisstore

import (
	_ "embed"

	"github.com/redis/rueidis"
)

// The scripts begin with a line of flags, so that the server refuses them before
// it begins them: a replica always, also those that only read, which would show
// what is old; a full server those that put something.
const (
	strict   = "#!lua\n"
	allowOOM = "#!lua flags=allow-oom\n"
)

var (
	//go:embed commit.lua
	commitSource string
	//go:embed load.lua
	loadSource string
	//go:embed expired.lua
	expiredSource string
	//go:embed list.lua
	listSource string
)

// The scripts. A server that does not know one gets its text.
var (
	commitScript  = rueidis.NewLuaScript(strict + commitSource)
	freeScript    = rueidis.NewLuaScript(allowOOM + commitSource) // for groups that put nothing
	loadScript    = rueidis.NewLuaScript(allowOOM + loadSource)
	expiredScript = rueidis.NewLuaScript(allowOOM + expiredSource)
	listScript    = rueidis.NewLuaScript(allowOOM + listSource)
)
