-- Stores a first record.
--
-- KEYS: record, lock, queue, fields[, stage]
-- ARGV: time, channel, confirm, op id, '1' for a resend, lifetime in ms, the token of the lock or
--       '', hold in ms, label, the whole record or '' when it is staged, '1' to publish
-- Answer: 'done', number, fence or 0, now, wakes | 'taken' | 'unknown'
--
-- Contract: "Creating on a taken key is refused and changes nothing; of n concurrent creators
-- exactly one wins."
local STAGE = KEYS[5]
local op, resend, ttl, token, hold = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local function answer(reply)
  if STAGE then
    call('UNLINK', STAGE)
  end
  return reply
end

if head ~= '' then
  settle()
  local number = struct.unpack('>I8', head, 5)
  for age = 0, math.min(number, 4) - 1 do
    if head:sub(13 + 8 * age, 20 + 8 * age) == op then
      local held = token ~= '' and is_held_by(token)
      return answer({'done', number - age, held and fence or 0, now, wakes})
    end
  end
  if resend == '1' and number > 4 then
    return answer({'unknown', wakes})
  end
  return answer({'taken', wakes})
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
  call('SET', RECORD, ARGV[10], 'PX', ttl)
end
-- What an earlier session of this name left is over, and so is it for whoever followed it: nobody
-- publishes that a lifetime has ended.
clear(KEYS[4])
if ARGV[11] == '1' then
  call('PUBLISH', RECORD .. ':feed', 'c' .. struct.pack('>I8', 1) .. op .. struct.pack('>I8', now))
end
fence = 0
if token ~= '' then
  hand(token, '1-', ARGV[9], hold)
end
return {'done', 1, fence, now, wakes}
