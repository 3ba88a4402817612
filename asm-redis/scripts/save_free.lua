-- The common cases of a save, before anything is defined that they do not need: nothing is sent
-- again, the epoch stays, and nobody waits; the lock is ours and given back, or it is free. The
-- arguments are those of save.lua; the answer is one number, which costs the server and the caller
-- less than a list: now.
local how, guard, held, op = struct.unpack('>Bc24c16c8', ARGV[2])
if how % 4 == 0 and head:find(guard, 38, true) == 38 and not head:find(op, 54, true) then
  local flags, fence, ends, first, last = struct.unpack('>BI8I8I4I4', head, 150)
  local released, stage = false, KEYS[4]
  if how % 16 == 12 and flags >= 4 and ends > now and head:find(held, 175, true) == 175 then
    released, flags = held .. head:sub(86, 133), flags - 4
  elseif how % 8 == 0 and ends == 0 then
    released = head:sub(86, 149)
  end
  if released and first == last and (not stage or call('EXISTS', stage) == 1) then
    local rest = head:sub(54, 77) .. released .. struct.pack('>BI8I8I4I4', flags, fence, 0, 0, 0)
    if stage then
      call('SETRANGE', stage, '61', rest)
      call('RENAME', stage, RECORD)
      call('PEXPIRE', RECORD, ARGV[3])
    else
      call('SET', RECORD, ARGV[4], 'PX', ARGV[3])
      call('SETRANGE', RECORD, '61', rest)
    end
    if flags > 0 then
      if flags % 2 == 1 then
        call('PEXPIRE', KEYS[3], ARGV[3])
      end
      if flags >= 2 and how >= 16 then
        local kind = head:find(ARGV[4]:sub(5, 45), 5, true) == 5 and 's' or 'r'
        local told = kind .. ARGV[4]:sub(46, 61) .. ARGV[4]:sub(38, 45)
        redis.pcall('PUBLISH', RECORD .. ':feed', told)
      end
    end
    return now
  end
end
