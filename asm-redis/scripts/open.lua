-- Tries the lock for an open; the record follows by a GET of its own.
--
-- KEYS: record, lock, queue
-- ARGV: time, channel, confirm, token, proof, hold in ms, label
-- Answer: 'missing', wakes | 'unproven', now, left in ms | 'busy', now, left in ms, wakes
--         | 'held', fence, now, left in ms, wakes
--
-- Contract: "The lock is granted only to a proof that the head accepts; otherwise record, lock and
-- queue are left as they are.", "Locking an unknown or expired session leaves nothing behind."
local token, proof = ARGV[4], ARGV[5]
if head == '' then
  clear(KEYS[4])
  return {'missing', wakes}
end
local pending = head:byte(69) == 1 and head:sub(70, 85) == proof
if head:sub(53, 68) ~= proof and not pending then
  return {'unproven', now, call('PTTL', RECORD)}
end
settle()
if is_held_by(token) then
  return {'held', fence, now, call('PTTL', RECORD), wakes}
end
if grant or was_released(token) then
  return {'busy', now, call('PTTL', RECORD), wakes}
end
hand(token, '1-', ARGV[7], ARGV[6])
return {'held', fence, now, call('PTTL', RECORD), wakes}
