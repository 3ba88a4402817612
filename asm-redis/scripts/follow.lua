-- Looks at a session for a subscriber, and lets its changes be published from now on.
--
-- KEYS: record
-- ARGV: caller
-- Answer: 'missing' | 'live', head, left in ms, now
--
-- Contract: "A subscriber sees foreign and own saves, rotations and the end, from the moment that
-- subscribe has answered."
if head == '' then
  return {'missing'}
end
local flags = head:byte(150)
if flags % 4 < 2 then
  call('SETRANGE', RECORD, '149', string.char(flags + 2))
end
return {'live', head, call('PTTL', RECORD), now}
