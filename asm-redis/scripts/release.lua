-- Ends a grant and hands the lock on, or withdraws a ticket.
--
-- KEYS: record, lock, queue, fields
-- ARGV: time, channel, confirm, token, '1' when an acquisition of this token may still be under
--       way: it is remembered as released in any case then, so that it is not granted afterwards
-- Answer: 'done' | 'withdrawn' | 'not', each with its wakes
--
-- Contract: "Release by a stranger, or by a holder whose lock was lost, changes nothing and says
-- so.", "A retry of a release that worked answers Done", "One release wakes exactly one waiter."
local token, doubtful = ARGV[4], ARGV[5]
if head == '' then
  clear(KEYS[4])
  return {'not', wakes}
end
settle()
if is_granted_to(token) then
  call('DEL', LOCK)
  grant = false
  remember(token)
  settle()
  return {'done', wakes}
end
local ticket = ticket_of(token)
if ticket then
  drop(ticket)
  remember(token)
  return {'withdrawn', wakes}
end
if was_released(token) then
  return {'done', wakes}
end
if doubtful == '1' then
  remember(token)
end
return {'not', wakes}
