-- The common cases of a save, before anything is defined that they do not need: nothing is sent
-- again, the epoch stays, and nobody waits; the lock is ours, or it is free. The arguments are those
-- of save.lua.
if ARGV[5] == '0' and head:find(ARGV[6], 45, true) == 45
  and head:find(ARGV[7], 5, true) == 5 and ARGV[9]:find(ARGV[6], 1, true) == 1
  and not head:find(ARGV[4], 13, true) then
  local held, stage, ours = ARGV[8], KEYS[5], false
  if held ~= '' then
    local grant = call('GET', KEYS[2])
    ours = grant and grant:find(held .. '1-', 1, true) == 1
  else
    ours = call('EXISTS', KEYS[2], KEYS[3]) == 0
  end
  if ours and (not stage or call('EXISTS', stage) == 1) then
    local number = struct.unpack('>I8', head, 5) + 1
    local version = struct.pack('>I8', number) .. ARGV[4]
    local release = held ~= '' and ARGV[11] == '1'
    local rest
    if release then
      local kept = math.min(head:byte(95), 3)
      rest = head:sub(86, 94) .. string.char(kept + 1) .. held .. head:sub(96, 143)
    else
      rest = head:sub(86)
    end
    local first = 'asm\1' .. version .. head:sub(13, 36) .. ARGV[9] .. rest
    if stage then
      call('SETRANGE', stage, '0', first)
      call('RENAME', stage, RECORD)
      call('PEXPIRE', RECORD, ARGV[10])
    else
      call('SET', RECORD, first .. ARGV[13], 'PX', ARGV[10])
    end
    -- After the record: a server without memory refuses that only as long as nothing was written.
    if release then
      call('DEL', KEYS[2])
    end
    local flags = head:byte(94)
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
