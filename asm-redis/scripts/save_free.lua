-- The common cases of a save, before anything is defined that they do not need: nothing is sent
-- again, the epoch stays, and nobody waits; the lock is ours, or it is free. The arguments are those
-- of save.lua.
if ARGV[5] == '0' and head:sub(45, 52) == ARGV[6] and head:sub(5, 20) == ARGV[7]
  and ARGV[9]:sub(1, 8) == ARGV[6] and #KEYS == 4 and not head:find(ARGV[4], 13, true) then
  local held, ours = ARGV[8], false
  if held ~= '' then
    local grant = call('GET', KEYS[2])
    ours = grant and grant:sub(1, 18) == held .. '1-'
  else
    ours = call('EXISTS', KEYS[2], KEYS[3]) == 0
  end
  if ours then
    local number = struct.unpack('>I8', head, 5) + 1
    local flags, rest = head:byte(94), head:sub(86)
    if held ~= '' and ARGV[11] == '1' then
      local kept = math.min(head:byte(95), 3)
      rest = head:sub(86, 94) .. string.char(kept + 1) .. held .. head:sub(96, 143)
    end
    local version = struct.pack('>I8', number) .. ARGV[4]
    call('SET', RECORD,
      head:sub(1, 4) .. version .. head:sub(13, 36) .. ARGV[9] .. rest .. ARGV[13], 'PX', ARGV[10])
    -- After the record: a server without memory refuses that only as long as nothing was written.
    if held ~= '' and ARGV[11] == '1' then
      call('DEL', KEYS[2])
    end
    if flags > 0 then
      if flags % 2 == 1 then
        call('PEXPIRE', KEYS[4], ARGV[10])
      end
      if flags >= 2 and ARGV[12] == '1' then
        local kind = head:sub(45, 85) ~= ARGV[9] and 'r' or 's'
        call('PUBLISH', RECORD .. ':feed', kind .. version .. ARGV[6])
      end
    end
    return {'done', number, now, ''}
  end
end
