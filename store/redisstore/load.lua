-- Reads records. KEYS are those of the records, and ARGV the revisions that the
-- caller holds, '' for none. The answer has 1 for a record that the caller
-- holds, and nothing for one that is not there.
local call, answer = redis.call, {}
for i, key in ipairs(KEYS) do
	local have = ARGV[i]
	if have ~= '' and call('GETRANGE', key, 0, 7) == have then
		answer[i] = 1
	else
		answer[i] = call('GET', key)
	end
end
return answer
