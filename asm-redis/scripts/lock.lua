-- The lock: a grant, and the queue behind it. Part of every script that changes who holds it.
--
-- KEYS[2] is the grant, a string that expires with it: token (16), '1' if the holder knows of it
-- and '0' between a hand-off and the waiter's next call, 'w' if there may be a queue and '-' if there
-- is none, label.
--
-- KEYS[3] is the queue, a hash: 'h' and 't' are the places of the head and behind the tail; '#' and
-- a place name the token there; a token (16 bytes) names its ticket: until (8) and silent (8) in
-- microseconds of server time, epoch (8), place (8), length of the label (1), label, channel. There
-- is no queue without a ticket. A ticket that is over is dropped when it is looked at.
--
-- ARGV[2] is the caller's wake-up channel, ARGV[3] how long a hand-off is provisional, in
-- milliseconds.
--
-- Contract: "Grants follow arrival order among live waiters", "One release wakes exactly one
-- waiter", "A newcomer never passes a live queue".
local LOCK, QUEUE, ME, CONFIRM = KEYS[2], KEYS[3], ARGV[2], ARGV[3]
local grant, fence, wakes = false, 0, ''
if head ~= '' then
  grant = call('GET', LOCK)
  fence = struct.unpack('>I8', head, 86)
end

-- Waiters next door are woken by the one who asked, when it has the answer.
local function wake(token, channel)
  if channel == ME then
    wakes = wakes .. token
  else
    call('PUBLISH', channel, token .. RECORD)
  end
end

local function read(token, ticket)
  local to, silent, epoch, place, label = struct.unpack('>I8I8c8I8Bc0', ticket)
  return {
    token = token, to = to, silent = silent, epoch = epoch, place = place, label = label,
    channel = ticket:sub(34 + #label),
  }
end

local function lives(ticket)
  return ticket.to > now and ticket.silent > now and ticket.epoch == head:sub(45, 52)
end

-- Answers whether there is still a queue.
local function drop(ticket)
  call('HDEL', QUEUE, ticket.token, '#' .. ticket.place)
  if call('HLEN', QUEUE) == 2 then
    call('DEL', QUEUE)
    return false
  end
  return true
end

-- The ticket of this token, unless it is over.
local function ticket_of(token)
  local ticket = call('HGET', QUEUE, token)
  if not ticket then
    return false
  end
  ticket = read(token, ticket)
  if lives(ticket) then
    return ticket
  end
  drop(ticket)
  return false
end

-- The next in the queue; places before it are cleared away.
local function front()
  local ends = call('HMGET', QUEUE, 'h', 't')
  if not ends[1] then
    return false
  end
  local first, last = tonumber(ends[1]), tonumber(ends[2])
  for place = first, last - 1 do
    local token = call('HGET', QUEUE, '#' .. place)
    if token then
      local ticket = ticket_of(token)
      if ticket then
        if place > first then
          call('HSET', QUEUE, 'h', place)
        end
        return ticket
      end
    end
  end
  call('DEL', QUEUE)
  return false
end

local function hand(token, state, label, hold)
  fence = fence + 1
  call('SETRANGE', RECORD, '85', struct.pack('>I8', fence))
  grant = token .. state .. label
  call('SET', LOCK, grant, 'PX', hold)
end

-- A lock that is free goes to the head of the queue.
local function settle()
  if grant or head == '' then
    return
  end
  local ticket = front()
  if ticket then
    local more = drop(ticket)
    hand(ticket.token, more and '0w' or '0-', ticket.label, CONFIRM)
    wake(ticket.token, ticket.channel)
  end
end

local function is_granted_to(token)
  return grant and grant:sub(1, 16) == token
end

-- Whether this token has the lock and knows it.
local function is_held_by(token)
  return grant and grant:sub(1, 17) == token .. '1'
end

-- Of the one who holds it and does not know, or of whoever.
local function label()
  return grant:sub(19)
end

local function was_released(token)
  for place = 1, head:byte(95) do
    if head:sub(80 + 16 * place, 95 + 16 * place) == token then
      return true
    end
  end
  return false
end

-- The head with this token among the released ones.
local function remembering(token)
  local kept = math.min(head:byte(95), 3)
  return head:sub(1, 94) .. string.char(kept + 1) .. token .. head:sub(96, 143)
end

local function remember(token)
  head = remembering(token)
  call('SETRANGE', RECORD, '94', head:sub(95))
end

-- Everything of a session that is over, but its record. Whoever waits is told.
local function clear(fields)
  if call('EXISTS', QUEUE) == 1 then
    local all = call('HGETALL', QUEUE)
    for i = 1, #all, 2 do
      if #all[i] == 16 then
        wake(all[i], read(all[i], all[i + 1]).channel)
      end
    end
  end
  call('UNLINK', LOCK, QUEUE, fields)
end
