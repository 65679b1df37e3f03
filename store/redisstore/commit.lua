-- Applies groups of writes. All conditions are looked at before anything is
-- written, because Redis does not roll back a script that fails.
--
-- KEYS: the fences, the floor, the index of what expires, the index of all keys,
-- and then the record of each write.
-- ARGV: the process, its epoch, whether to raise its fence, the channel, the
-- highest base, how many bytes of KEYS come before the name of a record, and the
-- writes: one digit each, which is 0 for a put, 1 for a delete and 2 for a check,
-- and 4 more for the first of a group. Then for each write its base, '' for
-- none, and for a put what follows the revision in a record.
--
-- The answer is -1 if the process has raised its fence since; the revision of
-- what was put; or a list: this revision, and for each write whose condition
-- fails its number and the record, '' for none.
local call, sub, byte = redis.call, string.sub, string.byte
local never = '\128\0\0\0\0\0\0\0'

local fence = call('HGET', KEYS[1], ARGV[1])
if fence and tonumber(string.match(fence, '^%d+')) > tonumber(ARGV[2]) then return -1 end
if ARGV[3] == '1' then
	local now, all = tonumber(call('TIME')[1]), call('HGETALL', KEYS[1])
	for i = 1, #all, 2 do
		if now - tonumber(string.match(all[i + 1], '%d+$')) > 86400 then call('HDEL', KEYS[1], all[i]) end
	end
	call('HSET', KEYS[1], ARGV[1], string.format('%s %.0f', ARGV[2], now))
end

local writes, n = ARGV[7], #KEYS - 4
local op, base, rest, head, group = {}, {}, {}, {}, {}
local failed, refused = nil, {}
local first, creates, puts, a = 0, false, false, 7
for i = 1, n do
	local code = byte(writes, i) - 48
	if code >= 4 then first, code = i, code - 4 end
	op[i], group[i] = code, first
	a = a + 1
	base[i] = ARGV[a]
	if code == 0 then
		a = a + 1
		rest[i] = ARGV[a]
	end
	head[i] = call('GETRANGE', KEYS[4 + i], 0, 15)
	if sub(head[i], 1, 8) ~= base[i] then
		failed = failed or {}
		failed[#failed + 1] = i
		refused[first] = true
	end
end
for i = 1, n do
	if op[i] == 0 and not refused[group[i]] then
		puts = true
		creates = creates or base[i] == ''
	end
end

local rev, made = 0, nil
if puts then
	local time = call('TIME')
	rev = time[1] * 1000000 + time[2]
	if creates then rev = math.max(rev, tonumber(call('GET', KEYS[2]) or '0') + 1) end
	if tonumber(ARGV[5]) >= rev then
		for i = 1, n do
			if op[i] == 0 and base[i] ~= '' and not refused[group[i]] then
				rev = math.max(rev, struct.unpack('>I8', base[i]) + 1)
			end
		end
	end
	made = struct.pack('>I8', rev)
end

local deleted, changed = 0, {}
for i = 1, n do
	if not refused[group[i]] then
		local key, expired = KEYS[4 + i], sub(head[i], 9, 16)
		if op[i] == 0 then
			call('SET', key, made .. rest[i])
			local expires = sub(rest[i], 1, 8)
			if expires ~= expired then
				if expires ~= never then
					call('ZADD', KEYS[3], struct.unpack('>i8', expires), sub(key, ARGV[6] + 1))
				elseif expired ~= '' then
					call('ZREM', KEYS[3], sub(key, ARGV[6] + 1))
				end
			end
			if expired == '' then call('ZADD', KEYS[4], 0, sub(key, ARGV[6] + 1)) end
			changed[#changed + 1] = i
		elseif op[i] == 1 and base[i] ~= '' then
			call('DEL', key)
			if expired ~= never then call('ZREM', KEYS[3], sub(key, ARGV[6] + 1)) end
			call('ZREM', KEYS[4], sub(key, ARGV[6] + 1))
			deleted = math.max(deleted, struct.unpack('>I8', base[i]))
			changed[#changed + 1] = i
		end
	end
end
if deleted > tonumber(deleted > 0 and call('GET', KEYS[2]) or '0') then
	call('SET', KEYS[2], string.format('%.0f', deleted))
end

if #changed > 0 then
	-- An error here must not look as if nothing had been applied.
	local heard = redis.pcall('PUBSUB', 'SHARDNUMSUB', ARGV[4])
	if not heard.err and tonumber(heard[2]) > 0 then
		local said = {struct.pack('>I8', rev)}
		for _, i in ipairs(changed) do
			local name = sub(KEYS[4 + i], ARGV[6] + 1)
			said[#said + 1] = struct.pack('>I1I2', op[i], #name) .. name
		end
		redis.pcall('SPUBLISH', ARGV[4], table.concat(said))
	end
end

if not failed then return rev end
local answer = {rev}
for _, i in ipairs(failed) do
	answer[#answer + 1] = i
	answer[#answer + 1] = call('GET', KEYS[4 + i]) or ''
end
return answer
