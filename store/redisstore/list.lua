-- Lists names of records. KEYS: the index of all keys. ARGV: where to begin and
-- to end in it, the time, how many names to look at, and what comes before the
-- name of a record. The answer is the last name that was looked at, '' if there
-- are no more, and then the names of records that have not expired.
local call = redis.call
local names = call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYLEX', 'LIMIT', 0, ARGV[4])
local answer, now = {''}, tonumber(ARGV[3])
if #names == tonumber(ARGV[4]) then answer[1] = names[#names] end
for _, name in ipairs(names) do
	local expires = call('GETRANGE', ARGV[5] .. name, 8, 15)
	if expires == '\128\0\0\0\0\0\0\0' or expires ~= '' and struct.unpack('>i8', expires) > now then
		answer[#answer + 1] = name
	end
end
return answer
