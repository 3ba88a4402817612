-- Lockless fields: values beside the record.
--
-- KEYS[2] is a hash:
--   'm' and a name: kind ('b' bytes, 'n' number, 'l' list), chunks (8), bytes in them (8), id (8)
--   'n' and a name: a number
--   'c', an id (8) and a place (8): a chunk of bytes, or an item
--   's': weight (8), the last id (8), when the newest forgotten change happened or 0 (8)
--   'r': the op ids of the last 16 changes, the newest last
--   'o' and an op id: when (8), and the answer
-- What is taken keeps its chunks while the answer is remembered. It has the lifetime of its record.
local FIELDS = KEYS[2]

-- The chunks of a value, from a place on and before another.
local function chunks(id, first, last)
  local all = {}
  while first < last do
    local names = {}
    for place = first, math.min(last, first + 1000) - 1 do
      names[#names + 1] = 'c' .. struct.pack('>I8I8', id, place)
    end
    for _, chunk in ipairs(call('HMGET', FIELDS, unpack(names))) do
      all[#all + 1] = chunk
    end
    first = first + #names
  end
  return all
end

local function drop_chunks(id, count)
  local first = 0
  while first < count do
    local names = {}
    for place = first, math.min(count, first + 1000) - 1 do
      names[#names + 1] = 'c' .. struct.pack('>I8I8', id, place)
    end
    call('HDEL', FIELDS, unpack(names))
    first = first + #names
  end
end

-- What a name stands for.
local function look(name)
  local meta = call('HGET', FIELDS, 'm' .. name)
  if not meta then
    return false
  end
  local kind, count, size, id = struct.unpack('>c1I8I8I8', meta)
  return {kind = kind, count = count, size = size, id = id}
end

local function content(value)
  if not value or value.kind == 'n' then
    return 0
  end
  return value.kind == 'b' and value.size or value.size + 16 * value.count
end
