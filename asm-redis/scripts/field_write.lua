-- Changes one field.
--
-- KEYS: record, fields
-- ARGV: caller, epoch, op id, how long ago the first sending was at most in microseconds or '', name,
--       'set', 'incr', 'append', 'push', 'take' or 'clear', value, how much the fields may weigh
-- Answer: 'missing' | 'unknown' | 'ended' | 'large' | 'd' | 'n', number | 'l', length | 'w' | 'v'
--         | 't' for nothing | 'tb', chunks | 'tn', number | 'tl', items
--
-- Contract: "A resent change counts once and answers as the first time.", "A write never brings a
-- session back.", "n parallel callers lose nothing."
local epoch, op, age, name, change, bytes = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local limit = tonumber(ARGV[8])
if head == '' then
  call('UNLINK', FIELDS)
  return {'missing'}
end

-- The answer in the form of the reply.
local function shown(answer)
  local kind, rest = answer:sub(1, 1), answer:sub(2)
  if kind == 'n' or kind == 'l' then
    return {kind, rest}
  elseif kind == 't' and rest ~= '' then
    if rest:sub(1, 1) == 'n' then
      return {'tn', rest:sub(2)}
    end
    local held, count, _, id = struct.unpack('>c1I8I8I8', rest)
    return {'t' .. held, chunks(id, 0, count)}
  end
  return {kind}
end

-- How much of the weight an answer is.
local function weight_of(answer)
  if answer:sub(1, 1) ~= 't' or #answer < 2 or answer:sub(2, 2) == 'n' then
    return 0, 0, 0
  end
  local kind, count, size, id = struct.unpack('>c1I8I8I8', answer, 2)
  return content({kind = kind, count = count, size = size}), id, count
end

local done = call('HGET', FIELDS, 'o' .. op)
if done then
  return shown(done:sub(9))
end
local state = call('HGET', FIELDS, 's')
local weight, last, forgotten = 0, 0, 0
if state then
  weight, last, forgotten = struct.unpack('>I8I8I8', state)
end
if age ~= '' and forgotten > 0 and now - forgotten <= tonumber(age) then
  return {'unknown'}
end
if head:sub(38, 45) ~= epoch then
  return {'ended'}
end

local value = look(name)
local place = #name + 16
local grown = weight
if change == 'set' then
  grown = grown - content(value) + #bytes
elseif change == 'append' then
  grown = grown + #bytes
elseif change == 'push' then
  grown = grown + 16 + #bytes
end
if not value and (change == 'set' or change == 'append' or change == 'push' or change == 'incr') then
  grown = grown + place
end
if grown > limit and grown > weight then
  return {'large'}
end

local function put(kind, count, size, id)
  call('HSET', FIELDS, 'm' .. name, struct.pack('>c1I8I8I8', kind, count, size, id))
end

-- A value of one chunk under a new id.
local function begin(kind)
  last = last + 1
  call('HSET', FIELDS, 'c' .. struct.pack('>I8I8', last, 0), bytes)
  put(kind, 1, #bytes, last)
end

local function forget()
  if value.kind == 'n' then
    call('HDEL', FIELDS, 'm' .. name, 'n' .. name)
  else
    call('HDEL', FIELDS, 'm' .. name)
  end
end

local answer
if change == 'set' then
  weight = grown
  if value then
    forget()
    drop_chunks(value.id, value.count)
  end
  begin('b')
  answer = 'd'
elseif change == 'incr' then
  if value and value.kind ~= 'n' then
    answer = 'w'
  else
    local sum = redis.pcall('HINCRBY', FIELDS, 'n' .. name, bytes)
    if type(sum) == 'table' then
      answer = 'v'
    else
      weight = grown
      put('n', 0, 0, 0)
      -- Not the number that the command answers: it may have lost digits on its way.
      answer = 'n' .. call('HGET', FIELDS, 'n' .. name)
    end
  end
elseif change == 'append' then
  if not value then
    begin('b')
    answer = 'l' .. #bytes
  elseif value.kind ~= 'b' then
    answer = 'w'
  else
    -- Small pieces are joined, so that many of them do not cost a chunk each.
    local chunk = 'c' .. struct.pack('>I8I8', value.id, value.count - 1)
    local tail = call('HGET', FIELDS, chunk)
    if tail and #tail < 4096 then
      call('HSET', FIELDS, chunk, tail .. bytes)
    else
      call('HSET', FIELDS, 'c' .. struct.pack('>I8I8', value.id, value.count), bytes)
      value.count = value.count + 1
    end
    put('b', value.count, value.size + #bytes, value.id)
    answer = 'l' .. (value.size + #bytes)
  end
  weight = answer == 'w' and weight or grown
elseif change == 'push' then
  if not value then
    begin('l')
    answer = 'l1'
  elseif value.kind ~= 'l' then
    answer = 'w'
  else
    call('HSET', FIELDS, 'c' .. struct.pack('>I8I8', value.id, value.count), bytes)
    put('l', value.count + 1, value.size + #bytes, value.id)
    answer = 'l' .. (value.count + 1)
  end
  weight = answer == 'w' and weight or grown
else
  answer = change == 'take' and 't' or 'd'
  if value then
    weight = weight - place - content(value)
    if change == 'take' then
      if value.kind == 'n' then
        answer = 'tn' .. call('HGET', FIELDS, 'n' .. name)
      else
        answer = 't' .. struct.pack('>c1I8I8I8', value.kind, value.count, value.size, value.id)
      end
    end
    forget()
    if change == 'clear' then
      drop_chunks(value.id, value.count)
    end
  end
end

local ring = call('HGET', FIELDS, 'r') or ''
if #ring == 128 then
  local oldest = 'o' .. ring:sub(1, 8)
  local was = call('HGET', FIELDS, oldest)
  local weighed, id, count = weight_of(was:sub(9))
  drop_chunks(id, count)
  weight = weight - weighed
  forgotten = struct.unpack('>I8', was)
  call('HDEL', FIELDS, oldest)
  ring = ring:sub(9)
end
weight = weight + weight_of(answer)
call('HSET', FIELDS, 'o' .. op, struct.pack('>I8', now) .. answer, 'r', ring .. op,
  's', struct.pack('>I8I8I8', weight, last, forgotten))
if not state then
  local left = call('PTTL', RECORD)
  if left > 0 then
    call('PEXPIRE', FIELDS, string.format('%.0f', left))
  end
  local flags = head:byte(150)
  call('SETRANGE', RECORD, '149', string.char(flags - flags % 2 + 1))
end
return shown(answer)
