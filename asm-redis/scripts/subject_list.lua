-- The entries of a subject.
--
-- KEYS: index, index by end
-- ARGV: time
-- Answer: generation, now, and of each entry its handle and its bytes
local answer = {string.format('%.0f', generation), now, {}}
local all = call('HGETALL', INDEX)
for i = 1, #all, 2 do
  if #all[i] == 16 then
    local entries = answer[3]
    entries[#entries + 1] = all[i]
    entries[#entries + 1] = all[i + 1]
  end
end
if #over > 0 then
  finish()
end
return answer
