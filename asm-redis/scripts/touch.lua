-- Extends a lifetime.
--
-- KEYS: record, fields
-- ARGV: caller, epoch, lifetime in ms
-- Answer: 'done', left in ms, now | 'missing' | 'ended'
--
-- Contract: "Touch never lowers it, never creates, and changes neither data nor version.", "It
-- needs no lock and disturbs none."
if head == '' then
  return {'missing'}
end
if head:sub(38, 45) ~= ARGV[2] then
  return {'ended'}
end
local left, ttl = call('PTTL', RECORD), ARGV[3]
if tonumber(ttl) > left then
  call('PEXPIRE', RECORD, ttl)
  if head:byte(150) % 2 == 1 then
    call('PEXPIRE', KEYS[2], ttl)
  end
  left = tonumber(ttl)
end
return {'done', left, now}
