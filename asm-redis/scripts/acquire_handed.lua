-- The common case of a waiter who was woken, before anything is defined that it does not need: the lock
-- was handed to it, and a GET of the record follows. The arguments are those of acquire.lua; the
-- answer is that of open_free.lua.
if ARGV[10] == '1' and head:find(ARGV[3], 38, true) == 38
  and head:find(ARGV[2]:sub(1, 16), 175, true) == 175 then
  local flags, fence, ends = struct.unpack('>BI8I8', head, 150)
  if ends > now and flags < 4 then
    local grant = struct.pack('>BI8I8', flags + 4, fence, now + ARGV[4])
    call('SETRANGE', RECORD, '149', grant .. head:sub(167, 174) .. ARGV[2])
    return struct.pack('>I8I8i8', fence, now, call('PTTL', RECORD))
  end
end
