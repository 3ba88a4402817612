-- Makes a grant last longer.
--
-- KEYS: record, queue, fields
-- ARGV: caller, token, hold in microseconds
-- Answer: 'done', left in microseconds, wakes | 'lost' | 'missing', each with its wakes
--
-- Contract: "Only the holder's grant is extended; an expired one cannot be renewed.", "Renewal
-- never shortens."
if head == '' then
  return {'missing', clear(KEYS[3])}
end
settle()
if not is_held_by(ARGV[2]) then
  return answer('lost')
end
if now + ARGV[3] > ends then
  insist()
  ends, changed = now + ARGV[3], true
end
return answer('done', ends - now)
