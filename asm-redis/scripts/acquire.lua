-- One step towards the lock.
--
-- KEYS: record, queue, fields
-- ARGV: caller, claim (token and label), epoch, hold in microseconds, what is left of the wait in
--       microseconds, limit of the queue or '', 'join' or 'leave', how long a ticket lives without
--       a sign of life in microseconds, the version that is known or '', '1' when a GET
--       follows, how long the queue must stay in ms
-- Answer: that of acquire_handed.lua | 'held', fence, now, left in ms, wakes[, record]
--         | 'queued', look again after ms, and after microseconds (-1: no need), wakes
--         | 'busy' | 'full' | 'missing' | 'ended', each with its wakes
--
-- Contract: "Waiter n + 1 of a queue limit n fails at once with QueueFull.", "Acquiring with a
-- token that already holds answers Held.", "A token that was released is never granted again."
local token, label, epoch, hold = ARGV[2]:sub(1, 16), ARGV[2]:sub(17), ARGV[3], ARGV[4]
local wait, limit, step, silence = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local known, follows, keep = ARGV[9], ARGV[10], ARGV[11]
if head == '' then
  return {'missing', clear(KEYS[3])}
end
settle()
if head:sub(38, 45) ~= epoch or was_released(token) then
  return answer('ended')
end

if not holder or holder == token then
  if not holder then
    hand(token, label, hold, true)
  elseif not knows then
    knows, ends, text, changed = true, now + hold, label, true
  end
  local reply = answer('held', fence, now, call('PTTL', RECORD))
  if follows ~= '1' and head:sub(46, 61) ~= known then
    reply[6] = call('GET', RECORD)
  end
  return reply
end

local ticket = ticket_of(token)
if step == 'leave' then
  if ticket then
    drop(ticket)
    remember(token)
  end
  return answer('busy')
end
if not ticket then
  if wait <= 0 then
    return answer('busy')
  end
  if limit and last - first >= limit then
    -- Only those who live count.
    local living = 0
    for place = first, last - 1 do
      living = living + (ticket_at(place) and 1 or 0)
    end
    if living >= limit then
      return answer('full')
    end
  end
  ticket = {place = last, to = now + wait, text = label, channel = ME}
  last, changed = last + 1, true
end
call('HSET', QUEUE, token, '' .. ticket.place, '#' .. ticket.place, struct.pack(
  '>c16I8I8c8', token, ticket.to, now + silence, epoch
) .. ticket.text .. ticket.channel)
if call('PTTL', QUEUE) < tonumber(keep) then
  call('PEXPIRE', QUEUE, keep)
end

-- Everybody looks when the session's life is over; only the next in the queue when the grant is, so
-- that a lapse does not bring all of them at once.
local next = front()
local lapse = next and next.token == token and ends - now or -1
return answer('queued', call('PTTL', RECORD), lapse)
