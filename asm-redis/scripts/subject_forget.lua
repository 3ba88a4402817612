-- Drops entries.
--
-- KEYS: index, index by end
-- ARGV: time, handles
-- Answer: how many there were
local dropped = 0
for i = 2, #ARGV do
  call('HDEL', INDEX, ARGV[i])
  dropped = dropped + call('ZREM', UNTIL, ARGV[i])
end
finish()
return dropped
