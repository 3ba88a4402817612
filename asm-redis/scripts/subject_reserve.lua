-- Lists a session under a subject, unless that would be one too many.
--
-- KEYS: index, index by end
-- ARGV: time, handle, how long the entry may stay in microseconds, cap or ''
-- Answer: 'done', generation | 'full'
--
-- Contract: "Reserving an entry again refreshes its lifetime and generation and keeps its place."
local handle, ttl, cap = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local listed = call('ZCARD', UNTIL)
local entry = call('HGET', INDEX, handle)
local others = entry and listed - 1 or listed
if cap and others >= cap then
  return {'full'}
end
if listed == 0 then
  advance()
end
local since, order = now, 0
if entry then
  since = struct.unpack('>I8', entry)
  order = struct.unpack('>I8', entry, 17)
else
  order = call('HINCRBY', INDEX, 'q', 1)
end
call('HSET', INDEX, handle, struct.pack('>I8I8I8', since, generation, order))
local ends = math.max(now + ttl, tonumber(call('ZSCORE', UNTIL, handle) or 0))
call('ZADD', UNTIL, string.format('%.0f', ends), handle)
finish()
return {'done', string.format('%.0f', generation)}
