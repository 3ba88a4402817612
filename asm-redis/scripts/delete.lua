-- Removes a session, if the guard holds.
--
-- KEYS: record, queue, fields
-- ARGV: caller, '1' for a guard, guard (epoch and version), the token that holds or '', '1' to
--       publish
-- Answer: 'done' | 'nothing' | 'ended' | 'locked' | 'lost', each with its wakes
--         | 'conflict', record, left in ms, now, wakes
--
-- Contract: "Without a guard it wins at once over locks, versions and queues.", "Waiters are told
-- Missing; so is the holder at its next call."
local guarded, guard, held, publish = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if head == '' then
  return {'nothing', clear(KEYS[3])}
end
if guarded == '1' then
  settle()
  if head:sub(38, 45) ~= guard:sub(1, 8) then
    return answer('ended')
  end
  if held == '' and holder then
    return answer('locked')
  end
  if held ~= '' and not is_held_by(held) then
    return answer('lost')
  end
  if head:sub(46, 61) ~= guard:sub(9) then
    return answer('conflict', call('GET', RECORD), call('PTTL', RECORD), now)
  end
end
call('UNLINK', RECORD)
local reply = {'done', clear(KEYS[3])}
if publish == '1' and others >= 2 then
  redis.pcall('PUBLISH', RECORD .. ':feed', 'e' .. head:sub(46, 61) .. head:sub(38, 45))
end
return reply
