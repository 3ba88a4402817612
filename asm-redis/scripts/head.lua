-- What every script on a session begins with: the head of the record, and the time.
--
-- The head is the first 159 bytes of the record:
--     1   4  "asm" and the number of this layout
--     5   8  how many writes there were
--    13  32  the op ids of the last four, the newest first
--    45  41  stamp: epoch (8), current proof (16), whether one is pending (1), pending proof (16)
--    86   8  fence of the last grant
--    94   1  1 if there are fields, and 2 if there was ever a subscriber, added up
--    95   1  how many released tokens are remembered, at most four
--    96  64  they, the newest first
-- Numbers are big-endian. The record's bytes follow; no script reads them.
--
-- KEYS[1] is the record. ARGV[1] is the time in microseconds, or '' for that
-- of the server.
--
-- Places and lengths are handed to the server as texts: it would print a number with 17 digits first,
-- which costs as much as a short command.
local call = redis.call
local RECORD = KEYS[1]
local head = call('GETRANGE', RECORD, '0', '158')
local now = tonumber(ARGV[1])
if not now then
  local clock = call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
if head ~= '' and (#head < 159 or head:sub(1, 4) ~= 'asm\1') then
  return {'corrupt'}
end
