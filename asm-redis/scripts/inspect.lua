-- Who holds the lock and who waits, in order.
--
-- KEYS: record, queue, fields
-- ARGV: caller
-- Answer: wakes, {fence, label, left in microseconds, '1' if the holder knows} or {}, and of each
--         waiter label, left in microseconds
if head == '' then
  return {'seen', clear(KEYS[3]), {}}
end
settle()
local seen = {'seen', '', {}}
if holder then
  seen[3] = {fence, labelled():sub(2), ends - now, knows and '1' or '0'}
end
for place = first, last - 1 do
  local ticket = ticket_at(place)
  if ticket then
    seen[#seen + 1] = ticket.text:sub(2)
    seen[#seen + 1] = ticket.to - now
  end
end
seen[2] = answer()[1]
return seen
