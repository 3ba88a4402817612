-- Writes a new version, if the guard holds.
--
-- KEYS: record, lock, queue, fields[, stage]
-- ARGV: time, channel, confirm, op id, '1' for a resend, epoch, version (number and op id), the
--       token that holds or '', stamp, lifetime in ms, '1' to release, '1' to publish, the
--       bytes, or '' when they are staged behind room for the head
-- Answer: 'done', number, now, wakes | 'conflict', record, left in ms, now, wakes
--         | 'missing' | 'unknown' | 'ended' | 'locked' | 'lost', each with its wakes
--
-- Contract: "The checks come in this order: the op id is known (Done, as the first time); the
-- session is missing; the resend cannot be resolved (Unknown); the epoch; the lock; the version.",
-- "A save on a deleted or expired session never brings it back."
local STAGE = KEYS[5]
local op, resend, epoch, version, held = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local stamp, ttl, release, publish = ARGV[9], ARGV[10], ARGV[11], ARGV[12]

local function answer(...)
  if STAGE then
    call('UNLINK', STAGE)
  end
  return {...}
end

if head == '' then
  clear(KEYS[4])
  return answer('missing', wakes)
end
settle()
local number = struct.unpack('>I8', head, 5)
for age = 0, math.min(number, 4) - 1 do
  if head:sub(13 + 8 * age, 20 + 8 * age) == op then
    return answer('done', number - age, now, wakes)
  end
end
if resend == '1' and number - (struct.unpack('>I8', version) + 1) >= 4 then
  return answer('unknown', wakes)
end
if head:sub(45, 52) ~= epoch then
  return answer('ended', wakes)
end
if held == '' and grant then
  return answer('locked', wakes)
end
if held ~= '' and not is_held_by(held) then
  return answer('lost', wakes)
end
if head:sub(5, 20) ~= version then
  return answer('conflict', call('GET', RECORD), call('PTTL', RECORD), now, wakes)
end
if STAGE and call('EXISTS', STAGE) == 0 then
  return {'unstaged'}
end

number = number + 1
local rotated = head:sub(45, 85) ~= stamp
local renewed = head:sub(45, 52) ~= stamp:sub(1, 8)
head = head:sub(1, 4) .. struct.pack('>I8', number) .. op .. head:sub(13, 36) .. stamp .. head:sub(86)
release = release == '1' and held ~= ''
if release then
  head = remembering(held)
end
if STAGE then
  call('SETRANGE', STAGE, '0', head)
  call('RENAME', STAGE, RECORD)
  call('PEXPIRE', RECORD, ttl)
else
  call('SET', RECORD, head .. ARGV[13], 'PX', ttl)
end
if head:byte(94) % 2 == 1 then
  call('PEXPIRE', KEYS[4], ttl)
end
if publish == '1' and head:byte(94) >= 2 then
  local kind = rotated and 'r' or 's'
  call('PUBLISH', RECORD .. ':feed', kind .. head:sub(5, 20) .. stamp:sub(1, 8))
end
local queue = true
if release then
  queue = grant:sub(18, 18) == 'w'
  call('DEL', LOCK)
  grant = false
end
if renewed and queue then
  -- Whoever waits opened under an epoch that is over.
  local all = call('HGETALL', QUEUE)
  for i = 1, #all, 2 do
    if #all[i] == 16 then
      wake(all[i], read(all[i], all[i + 1]).channel)
    end
  end
  if #all > 0 then
    call('DEL', QUEUE)
  end
end
if queue then
  settle()
end
return {'done', number, now, wakes}
