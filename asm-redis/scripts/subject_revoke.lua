-- Starts a new generation.
--
-- KEYS: index, index by end
-- ARGV: time, the handle to keep or ''
-- Answer: generation, and the handles of all other entries
advance()
local answer = {string.format('%.0f', generation), {}}
local all = call('HGETALL', INDEX)
for i = 1, #all, 2 do
  local handle, entry = all[i], all[i + 1]
  if handle == ARGV[2] then
    call('HSET', INDEX, handle, entry:sub(1, 8) .. struct.pack('>I8', generation) .. entry:sub(17))
  elseif #handle == 16 then
    local keys = answer[2]
    keys[#keys + 1] = handle
  end
end
finish()
return answer
