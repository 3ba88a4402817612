-- Writes a new version, if the guard holds.
--
-- KEYS: record, queue, fields[, stage]
-- ARGV: caller;
--       1 for a resend, 2 for a new epoch, 4 if the lock is held, 8 to release it, 16 to publish,
--       added up (1), then guard (epoch and version, 24), the token that holds or 0 (16), op id (8);
--       lifetime in ms;
--       the new record, or what its head begins with (61) when it is staged
-- Answer: 'done', number, now, wakes | 'conflict', record, left in ms, now, wakes
--         | 'missing' | 'unknown' | 'ended' | 'locked' | 'lost', each with its wakes
--         | that of save_free.lua
--
-- Contract: "The checks come in this order: the op id is known (Done, as the first time); the
-- session is missing; the resend cannot be resolved (Unknown); the epoch; the lock; the version.",
-- "A save on a deleted or expired session never brings it back."
local STAGE, ttl, record = KEYS[4], ARGV[3], ARGV[4]
local resend, renewed, held_by_us = how % 2 >= 1, how % 4 >= 2, how % 8 >= 4
local release, publish = held_by_us and how % 16 >= 8, how >= 16

local function refused(...)
  if STAGE then
    call('UNLINK', STAGE)
  end
  return answer(...)
end

if head == '' then
  clear(KEYS[3])
  return refused('missing')
end
settle()
local number = struct.unpack('>I8', head, 46)
for age = 0, math.min(number, 4) - 1 do
  if head:sub(54 + 8 * age, 61 + 8 * age) == op then
    return refused('done', number - age, now)
  end
end
if resend and number - (struct.unpack('>I8', guard, 9) + 1) >= 4 then
  return refused('unknown')
end
if head:sub(38, 45) ~= guard:sub(1, 8) then
  return refused('ended')
end
if not held_by_us and holder then
  return refused('locked')
end
if held_by_us and not is_held_by(held) then
  return refused('lost')
end
if head:sub(46, 61) ~= guard:sub(9) then
  return refused('conflict', call('GET', RECORD), call('PTTL', RECORD), now)
end
if STAGE and call('EXISTS', STAGE) == 0 then
  return answer('unstaged')
end

-- The whole head is there before anything else is done, so that nothing can come in between.
local rotated = head:sub(5, 45) ~= record:sub(5, 45)
local before = head:sub(54, 77)
head = record:sub(1, 61)
if release then
  free()
  remember(held)
elseif holder then
  labelled()
end
local rest = before .. state()
if STAGE then
  call('SETRANGE', STAGE, '61', rest)
  call('RENAME', STAGE, RECORD)
  call('PEXPIRE', RECORD, ttl)
else
  call('SET', RECORD, record, 'PX', ttl)
  call('SETRANGE', RECORD, '61', rest)
end
changed = false
if others % 2 == 1 then
  call('PEXPIRE', KEYS[3], ttl)
end
if renewed and first < last then
  -- Whoever waits opened under an epoch that is over.
  disperse()
  changed = true
end
settle()
local reply = answer('done', number + 1, now)
if publish and others >= 2 then
  local told = (rotated and 'r' or 's') .. head:sub(46, 61) .. head:sub(38, 45)
  redis.pcall('PUBLISH', RECORD .. ':feed', told)
end
return reply
