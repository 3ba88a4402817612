-- Who holds the lock and who waits, in order.
--
-- KEYS: record, lock, queue, fields
-- ARGV: time, channel, confirm
-- Answer: wakes, {fence, label, left in ms, '1' if the holder knows} or {}, and of each waiter
--         label, left in microseconds
if head == '' then
  clear(KEYS[4])
  return {'seen', wakes, {}}
end
settle()
local answer = {'seen', wakes, {}}
if grant then
  answer[3] = {fence, label(), call('PTTL', LOCK), grant:sub(17, 17)}
end
local ends = call('HMGET', QUEUE, 'h', 't')
if ends[1] then
  for place = tonumber(ends[1]), tonumber(ends[2]) - 1 do
    local token = call('HGET', QUEUE, '#' .. place)
    local ticket = token and ticket_of(token)
    if ticket then
      answer[#answer + 1] = ticket.label
      answer[#answer + 1] = ticket.to - now
    end
  end
end
return answer
