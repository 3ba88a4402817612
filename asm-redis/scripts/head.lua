-- What every script on a session begins with: the head of the record, and the time.
--
-- The head is the first 319 bytes of the record:
--     1    4  "asm" and the number of this layout
--     5   33  proofs: the current one (16), whether one is pending (1), the pending one (16)
--    38    8  epoch
--    46   16  version: how many writes there were (8), the op id of the last (8)
--    62   24  the op ids of the three before, the newest first
--    86   64  the last four released tokens, the newest first; 0 for none
--   150    1  added up: 1 if there are fields, 2 if there was ever a subscriber, 4 if the holder of
--             the lock knows that it is
--   151    8  fence of the last grant
--   159    8  when that grant ends, 0 if it was given back
--   167    8  the place of the first in the queue (4), and that behind the last (4); 0 for no queue
--   175   16  the token of its holder, 0 if it was given back
--   191  129  the label of its holder: how long it is (1), room for the longest (128)
-- Numbers are big-endian, times are microseconds. The record's bytes follow; no script reads them.
-- The label is read where it is needed.
--
-- A write sends a whole new record. What it cannot know of the head, 62 to 174, is filled in by the
-- script. So every byte of it goes at most once through Lua, which looks at each several times.
--
-- KEYS[1] is the record. ARGV[1] is the caller: the time in microseconds (8), or 0 for that of the
-- server; how long a hand-off is provisional, in microseconds (8); the channel on which it hears.
--
-- Places and lengths are handed to the server as texts: it would print a number with 17 digits first,
-- which costs as much as a short command.
local call = redis.call
local RECORD = KEYS[1]
local head = call('GETRANGE', RECORD, '0', '189')
local now = struct.unpack('>I8', ARGV[1])
if now == 0 then
  local clock = call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
if head ~= '' and (#head < 190 or head:sub(1, 4) ~= 'asm\2') then
  return {'corrupt'}
end
