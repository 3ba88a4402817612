-- Ends a grant and hands the lock on, or withdraws a ticket.
--
-- KEYS: record, queue, fields
-- ARGV: caller, token, '1' when an acquisition of this token may still be under way: it is
--       remembered as released in any case then, so that it is not granted afterwards
-- Answer: 'done' | 'withdrawn' | 'not', each with its wakes
--
-- Contract: "Release by a stranger, or by a holder whose lock was lost, changes nothing and says
-- so.", "A retry of a release that worked answers Done", "One release wakes exactly one waiter."
local token, doubtful = ARGV[2], ARGV[3]
if head == '' then
  return {'not', clear(KEYS[3])}
end
settle()
if holder == token then
  insist()
  free()
  remember(token)
  settle()
  return answer('done')
end
local ticket = ticket_of(token)
if ticket then
  drop(ticket)
  remember(token)
  return answer('withdrawn')
end
if was_released(token) then
  return answer('done')
end
if doubtful == '1' then
  insist()
  remember(token)
end
return answer('not')
