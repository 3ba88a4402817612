-- Ends a grant by force: the one of this fence, or whichever there is.
--
-- KEYS: record, queue, fields
-- ARGV: caller, fence or ''
-- Answer: 'done', fence, label, wakes | 'not', wakes
--
-- Contract: "Of two that name the same grant exactly one breaks it; a later grant is never broken
-- by it."
if head == '' then
  return {'not', clear(KEYS[3])}
end
settle()
local broken = fence
if not holder or ARGV[2] ~= '' and ARGV[2] ~= struct.pack('>I8', broken) then
  return answer('not')
end
local whose = labelled():sub(2)
insist()
free()
settle()
return answer('done', broken, whose)
