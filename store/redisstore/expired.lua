-- Finds records that have expired. KEYS: the index of what expires, that of all
-- keys. ARGV: the time, how many records, and what comes before the name of a
-- record. The answer has names and records in turn. What somebody has deleted
-- without this package leaves the indexes.
local call, answer = redis.call, {}
for _, name in ipairs(call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
	local record = call('GET', ARGV[3] .. name)
	if record then
		answer[#answer + 1] = name
		answer[#answer + 1] = record
	else
		call('ZREM', KEYS[1], name)
		call('ZREM', KEYS[2], name)
	end
end
return answer
