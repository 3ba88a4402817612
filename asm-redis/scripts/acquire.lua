-- One step towards the lock.
--
-- KEYS: record, lock, queue, fields
-- ARGV: time, channel, confirm, token, epoch, hold in ms, label, what is left of the wait in
--       microseconds, limit of the queue or '', 'join' or 'leave', how long a ticket lives without
--       a sign of life in microseconds, the version that is known or '', '1' when a GET
--       follows, how long the queue must stay in ms
-- Answer: 'held', fence, left in ms, now, wakes[, record] | 'queued', look again after ms, wakes
--         | 'busy' | 'full' | 'missing' | 'ended', each with its wakes
--
-- Contract: "Waiter n + 1 of a queue limit n fails at once with QueueFull.", "Acquiring with a
-- token that already holds answers Held.", "A token that was released is never granted again."
local token, epoch, hold, text = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local wait, limit, step, silence = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], tonumber(ARGV[11])
local known, follows = ARGV[12], ARGV[13]
if head == '' then
  clear(KEYS[4])
  return {'missing', wakes}
end
settle()
if head:sub(45, 52) ~= epoch or was_released(token) then
  return {'ended', wakes}
end

if not grant or is_granted_to(token) then
  if not grant then
    hand(token, '1-', text, hold)
  elseif not is_held_by(token) then
    grant = token .. '1' .. grant:sub(18, 18) .. text
    call('SET', LOCK, grant, 'PX', hold)
  end
  local answer = {'held', fence, call('PTTL', RECORD), now, wakes}
  if follows ~= '1' and head:sub(5, 20) ~= known then
    answer[6] = call('GET', RECORD)
  end
  return answer
end

local ticket = ticket_of(token)
if step == 'leave' then
  if ticket then
    drop(ticket)
    remember(token)
  end
  return {'busy', wakes}
end
if not ticket then
  if wait <= 0 then
    return {'busy', wakes}
  end
  if limit then
    local queued = math.max(call('HLEN', QUEUE) - 2, 0) / 2
    if queued >= limit and queued > 0 then
      -- Only those who live count.
      local all = call('HGETALL', QUEUE)
      for i = 1, #all, 2 do
        if #all[i] == 16 then
          ticket_of(all[i])
        end
      end
      queued = math.max(call('HLEN', QUEUE) - 2, 0) / 2
    end
    if queued >= limit then
      return {'full', wakes}
    end
  end
  local place = tonumber(call('HGET', QUEUE, 't') or 0)
  if place == 0 then
    call('HSET', QUEUE, 'h', 0)
  end
  ticket = {
    token = token, to = now + wait, epoch = epoch, place = place, label = text, channel = ME,
  }
  call('HSET', QUEUE, 't', place + 1, '#' .. place, token)
  if grant:sub(18, 18) ~= 'w' then
    call('SETRANGE', LOCK, '17', 'w')
  end
end
call('HSET', QUEUE, token, struct.pack(
  '>I8I8c8I8B', ticket.to, now + silence, ticket.epoch, ticket.place, #ticket.label
) .. ticket.label .. ticket.channel)
if call('PTTL', QUEUE) < tonumber(ARGV[14]) then
  call('PEXPIRE', QUEUE, ARGV[14])
end

-- Everybody looks when the session's life is over; only the next in the queue when the grant is, so
-- that a lapse does not bring all of them at once.
local again = call('PTTL', RECORD)
local next = front()
if next and next.token == token then
  local lapse = call('PTTL', LOCK)
  if lapse >= 0 and (again < 0 or lapse < again) then
    again = lapse
  end
end
return {'queued', again, wakes}
