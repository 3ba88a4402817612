-- The lock: a grant in the head of the record, and the queue behind it. Part of every script that
-- changes who holds it. What changes in the head is written once, by `answer`.
--
-- KEYS[2] is the queue, a hash: 'h' and 't' are the places of the head and behind the tail; a token
-- (16 bytes) names its place; '#' and a place name the ticket there: token (16), until (8) and silent
-- (8) in microseconds of server time, epoch (8), label with its length, channel. There is no queue
-- without a ticket. A ticket that is over is dropped when it is looked at. The head may say that
-- there is a queue when it is over, and never the other way round.
--
-- Contract: "Grants follow arrival order among live waiters", "One release wakes exactly one
-- waiter", "A newcomer never passes a live queue".
local QUEUE, NOBODY = KEYS[2], ('\0'):rep(16)
local CONFIRM, ME = struct.unpack('>I8', ARGV[1], 9), ARGV[1]:sub(17)
local holder, knows, queued, others = false, false, false, 0
local fence, ends, released, text = 0, 0, '', ''
local changed, wakes = false, ''
if head ~= '' then
  local flags
  flags, fence, ends = struct.unpack('>BI8I8', head, 150)
  others, queued = flags % 4, flags % 8 >= 4
  released = head:sub(86, 149)
  if ends > now then
    holder, knows = head:sub(167, 182), flags >= 8
  else
    ends = 0
  end
end

-- The head from the released tokens on, up to the label unless that is another.
local function state()
  local flags = others + (queued and 4 or 0) + (knows and 8 or 0)
  return released .. struct.pack('>BI8I8', flags, fence, ends) .. (holder or NOBODY) .. text
end

local function answer(...)
  if changed then
    call('SETRANGE', RECORD, '85', state())
  end
  local reply = {...}
  reply[#reply + 1] = wakes
  return reply
end

-- The holder's label, with its length.
local function labelled()
  if text == '' then
    text = call('GETRANGE', RECORD, '182', '310')
    text = text:sub(1, 1 + text:byte())
  end
  return text
end

-- Waiters next door are woken by the one who asked, when it has the answer.
local function wake(ticket)
  if ticket.channel == ME then
    wakes = wakes .. ticket.token
  else
    call('PUBLISH', ticket.channel, ticket.token .. RECORD)
  end
end

local function read(place, ticket)
  local token, to, silent, epoch, label = struct.unpack('>c16I8I8c8Bc0', ticket)
  return {
    place = place, token = token, to = to, silent = silent, epoch = epoch,
    text = ticket:sub(41, 41 + #label), channel = ticket:sub(42 + #label),
  }
end

local function lives(ticket)
  return ticket.to > now and ticket.silent > now and ticket.epoch == head:sub(38, 45)
end

local function drop(ticket)
  call('HDEL', QUEUE, ticket.token, '#' .. ticket.place)
  if call('HLEN', QUEUE) == 2 then
    call('DEL', QUEUE)
    queued, changed = false, true
  end
end

-- The ticket at this place, unless it is over.
local function ticket_at(place)
  local ticket = call('HGET', QUEUE, '#' .. place)
  if not ticket then
    return false
  end
  ticket = read(place, ticket)
  if lives(ticket) then
    return ticket
  end
  drop(ticket)
  return false
end

local function ticket_of(token)
  local place = queued and call('HGET', QUEUE, token)
  return place and ticket_at(place)
end

-- All places there are, from the head on.
local function places()
  local edges = queued and call('HMGET', QUEUE, 'h', 't')
  if not edges or not edges[1] then
    return 0, -1
  end
  return tonumber(edges[1]), edges[2] - 1
end

-- The next in the queue; places before it are cleared away.
local function front()
  if not queued then
    return false
  end
  local first, last = places()
  for place = first, last do
    local ticket = ticket_at(place)
    if ticket then
      if place > first then
        call('HSET', QUEUE, 'h', place)
      end
      return ticket
    end
  end
  if queued then
    call('DEL', QUEUE)
    queued, changed = false, true
  end
  return false
end

-- Lets a server without memory take what comes next: it refuses SETRANGE, which takes none here, as
-- long as the script has not written. This is a write and changes nothing.
local function insist()
  call('HDEL', QUEUE, '')
end

local function hand(token, label, hold, known)
  fence, ends = fence + 1, now + hold
  holder, knows, text = token, known, label
  changed = true
end

-- Nobody holds the lock any more.
local function free()
  holder, knows, ends, text = false, false, 0, ''
  changed = true
end

-- A lock that is free goes to the head of the queue.
local function settle()
  if holder then
    return
  end
  local ticket = front()
  if ticket then
    drop(ticket)
    if queued then
      call('HSET', QUEUE, 'h', ticket.place + 1)
    end
    hand(ticket.token, ticket.text, CONFIRM, false)
    wake(ticket)
  end
end

-- Whether this token has the lock and knows it.
local function is_held_by(token)
  return knows and holder == token
end

local function was_released(token)
  for place = 1, 49, 16 do
    if token ~= NOBODY and released:sub(place, place + 15) == token then
      return true
    end
  end
  return false
end

local function remember(token)
  released = token .. released:sub(1, 48)
  changed = true
end

-- Tells all who wait to look again, and ends the queue.
local function disperse()
  local all = call('HGETALL', QUEUE)
  for i = 1, #all, 2 do
    if #all[i] ~= 16 and all[i]:byte() == 35 then
      wake(read(0, all[i + 1]))
    end
  end
  if #all > 0 then
    call('DEL', QUEUE)
  end
  queued = false
end

-- Everything of a session that is over, but its record.
local function clear(fields)
  disperse()
  call('UNLINK', fields)
  return wakes
end
