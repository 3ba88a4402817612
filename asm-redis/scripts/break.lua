-- Ends a grant by force: the one of this fence, or whichever there is.
--
-- KEYS: record, lock, queue, fields
-- ARGV: time, channel, confirm, fence or ''
-- Answer: 'done', fence, label, wakes | 'not', wakes
--
-- Contract: "Of two that name the same grant exactly one breaks it; a later grant is never broken
-- by it."
if head == '' then
  clear(KEYS[4])
  return {'not', wakes}
end
settle()
local broken = fence
if not grant or ARGV[4] ~= '' and ARGV[4] ~= struct.pack('>I8', broken) then
  return {'not', wakes}
end
local whose = label()
call('DEL', LOCK)
grant = false
settle()
return {'done', broken, whose, wakes}
