-- Removes a session, if the guard holds.
--
-- KEYS: record, lock, queue, fields
-- ARGV: time, channel, confirm, '1' for a guard, epoch, version, the token that holds or '', '1'
--       to publish
-- Answer: 'done' | 'nothing' | 'ended' | 'locked' | 'lost', each with its wakes
--         | 'conflict', record, left in ms, now, wakes
--
-- Contract: "Without a guard it wins at once over locks, versions and queues.", "Waiters are told
-- Missing; so is the holder at its next call."
local guarded, epoch, version, held, publish = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if head == '' then
  clear(KEYS[4])
  return {'nothing', wakes}
end
if guarded == '1' then
  settle()
  if head:sub(45, 52) ~= epoch then
    return {'ended', wakes}
  end
  if held == '' and grant then
    return {'locked', wakes}
  end
  if held ~= '' and not is_held_by(held) then
    return {'lost', wakes}
  end
  if head:sub(5, 20) ~= version then
    return {'conflict', call('GET', RECORD), call('PTTL', RECORD), now, wakes}
  end
end
if publish == '1' and head:byte(94) >= 2 then
  call('PUBLISH', RECORD .. ':feed', 'e' .. head:sub(5, 20) .. head:sub(45, 52))
end
call('UNLINK', RECORD)
clear(KEYS[4])
return {'done', wakes}
