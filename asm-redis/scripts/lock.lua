-- The lock: a grant in the head of the record, and the queue behind it. Part of every script that
-- changes who holds it. What changes in the head is written once, by `answer`.
--
-- KEYS[2] is the queue, a hash: a token (16 bytes) names its place; '#' and a place name the ticket
-- there: token (16), until (8) and silent (8) in microseconds of server time, epoch (8), label with
-- its length, channel. A ticket that is over is dropped when it is looked at. The head has the places
-- of the first and behind the last; there may be gaps in between, and nobody is beyond.
--
-- Contract: "Grants follow arrival order among live waiters", "One release wakes exactly one
-- waiter", "A newcomer never passes a live queue".
local QUEUE, NOBODY = KEYS[2], ('\0'):rep(16)
local CONFIRM, ME = struct.unpack('>I8', ARGV[1], 9), ARGV[1]:sub(17)
local holder, knows, others, first, last = false, false, 0, 0, 0
local fence, ends, released, text = 0, 0, NOBODY:rep(4), ''
local changed, wakes = false, ''
if head ~= '' then
  local flags
  flags, fence, ends, first, last = struct.unpack('>BI8I8I4I4', head, 150)
  others, released = flags % 4, head:sub(86, 149)
  if ends > now then
    holder, knows = head:sub(175, 190), flags >= 4
  else
    ends = 0
  end
end

-- The head from the released tokens on, up to the label unless that is another.
local function state()
  local flags = others + (knows and 4 or 0)
  return released .. struct.pack('>BI8I8I4I4', flags, fence, ends, first, last)
    .. (holder or NOBODY) .. text
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
    text = call('GETRANGE', RECORD, '190', '318')
    text = text:sub(1, 1 + (text:byte() or 0))
  end
  return text
end

-- Waiters next door are woken by the one who asked, when it has the answer. A server that lets us not
-- publish must not end a script half-way: a wake-up that is lost costs the waiter its recheck.
local function wake(ticket)
  if ticket.channel == ME then
    wakes = wakes .. ticket.token
  else
    redis.pcall('PUBLISH', ticket.channel, ticket.token .. RECORD)
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

-- Nobody is at this place any more.
local function pass(place)
  if place == last - 1 then
    last = place
  elseif place == first then
    first = place + 1
  end
  if first >= last then
    first, last = 0, 0
  end
  changed = true
end

local function drop(ticket)
  call('HDEL', QUEUE, ticket.token, '#' .. ticket.place)
  pass(ticket.place)
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
  local place = first < last and call('HGET', QUEUE, token)
  return place and ticket_at(tonumber(place))
end

-- The next in the queue.
local function front()
  while first < last do
    local place = first
    local ticket = ticket_at(place)
    if ticket then
      return ticket
    end
    if first == place and first < last then
      pass(place)
    end
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
    call('UNLINK', QUEUE)
  end
  first, last = 0, 0
end

-- Everything of a session that is over, but its record.
local function clear(fields)
  disperse()
  call('UNLINK', fields)
  return wakes
end
