-- Tries the lock for an open; the record follows by a GET of its own.
--
-- KEYS: record, queue
-- ARGV: caller, claim (token and label), proof, hold in microseconds
-- Answer: 'missing', wakes | 'unproven', now, left in ms | 'busy', now, left in ms, wakes
--         | 'held', fence, now, left in ms, wakes | that of open_free.lua
--
-- Contract: "The lock is granted only to a proof that the head accepts; otherwise record, lock and
-- queue are left as they are.", "Locking an unknown or expired session leaves nothing behind."
local claim, proof = ARGV[2], ARGV[3]
local token = claim:sub(1, 16)
if head == '' then
  disperse()
  return {'missing', wakes}
end
local pending = head:byte(21) == 1 and head:sub(22, 37) == proof
if head:sub(5, 20) ~= proof and not pending then
  return {'unproven', now, call('PTTL', RECORD)}
end
settle()
if not is_held_by(token) then
  if holder or was_released(token) then
    return answer('busy', now, call('PTTL', RECORD))
  end
  hand(token, claim:sub(17), ARGV[4], true)
end
return answer('held', fence, now, call('PTTL', RECORD))
