-- Stores a first record.
--
-- KEYS: record, queue, fields[, stage]
-- ARGV: caller, op id, '1' for a resend, lifetime in ms, the claim of the lock (token and label) or
--       '', hold in microseconds, '1' to publish, the record, or '' when it is staged
-- Answer: 'done', number, fence or 0, now, wakes | 'taken' | 'unknown'
--
-- Contract: "Creating on a taken key is refused and changes nothing; of n concurrent creators
-- exactly one wins."
local STAGE = KEYS[4]
local op, resend, ttl, claim, hold = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local function refused(...)
  if STAGE then
    call('UNLINK', STAGE)
  end
  return answer(...)
end

if head ~= '' then
  settle()
  local number = struct.unpack('>I8', head, 46)
  for age = 0, math.min(number, 4) - 1 do
    if head:sub(54 + 8 * age, 61 + 8 * age) == op then
      local held = claim ~= '' and is_held_by(claim:sub(1, 16))
      return refused('done', number - age, held and fence or 0, now)
    end
  end
  if resend == '1' and number > 4 then
    return refused('unknown')
  end
  return refused('taken')
end

-- The record comes first: a server without memory refuses it then, as it does not once a script has
-- written.
if STAGE then
  if call('EXISTS', STAGE) == 0 then
    return {'unstaged'}
  end
  call('RENAME', STAGE, RECORD)
  call('PEXPIRE', RECORD, ttl)
else
  call('SET', RECORD, ARGV[8], 'PX', ttl)
end
-- What an earlier session of this name left is over, and so is it for whoever followed it: nobody
-- publishes that a lifetime has ended.
clear(KEYS[3])
if claim ~= '' then
  hand(claim:sub(1, 16), claim:sub(17), hold, true)
end
local reply = answer('done', 1, fence, now)
if ARGV[7] == '1' then
  local told = 'c' .. struct.pack('>I8', 1) .. op .. struct.pack('>I8', now)
  redis.pcall('PUBLISH', RECORD .. ':feed', told)
end
return reply
