-- Makes a grant last longer.
--
-- KEYS: record, lock, queue, fields
-- ARGV: time, channel, confirm, token, hold in ms
-- Answer: 'done', left in ms, wakes | 'lost' | 'missing', each with its wakes
--
-- Contract: "Only the holder's grant is extended; an expired one cannot be renewed.", "Renewal
-- never shortens."
local token, hold = ARGV[4], ARGV[5]
if head == '' then
  clear(KEYS[4])
  return {'missing', wakes}
end
settle()
if not is_held_by(token) then
  return {'lost', wakes}
end
local left = call('PTTL', LOCK)
if tonumber(hold) > left then
  call('PEXPIRE', LOCK, hold)
  left = tonumber(hold)
end
return {'done', left, wakes}
