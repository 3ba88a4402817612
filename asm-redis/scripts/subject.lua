-- What every script on the index of a subject begins with: entries that are over are dropped.
--
-- KEYS[1] is a hash: 'g' is the generation, 'q' how many entries were ever made; a session's handle
-- (16 bytes) names its entry: since (8), generation (8), how many entries were made before it (8).
-- KEYS[2] is a sorted set of the handles by the end of their entries in microseconds. Both expire
-- with the last entry. ARGV[1] is the time in microseconds, or '' for
-- that of the server.
--
-- Contract: "A cap holds under parallel calls.", "Entries whose session is gone do not count."
local call = redis.call
local INDEX, UNTIL = KEYS[1], KEYS[2]
local now = tonumber(ARGV[1])
if not now then
  local clock = call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
local over = call('ZRANGEBYSCORE', UNTIL, '-inf', string.format('%.0f', now))
for _, handle in ipairs(over) do
  call('HDEL', INDEX, handle)
  call('ZREM', UNTIL, handle)
end
local generation = tonumber(call('HGET', INDEX, 'g') or 0)

-- Generations are times, as far as these have moved on: they grow across a dropped index.
local function advance()
  generation = math.max(now, generation + 1)
end

-- Stores the generation, and lets the index end with its last entry; without any it is dropped.
local function finish()
  local newest = call('ZREVRANGE', UNTIL, 0, 0, 'WITHSCORES')
  if not newest[1] then
    call('UNLINK', INDEX, UNTIL)
    return
  end
  call('HSET', INDEX, 'g', string.format('%.0f', generation))
  local left = string.format('%.0f', math.ceil((tonumber(newest[2]) - now) / 1000))
  call('PEXPIRE', INDEX, left)
  call('PEXPIRE', UNTIL, left)
end
