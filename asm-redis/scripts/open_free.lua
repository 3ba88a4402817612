-- The common case of an open with the lock, before anything is defined that it does not need: nobody
-- holds the lock, and nobody waits. The arguments are those of open.lua.
if head ~= '' and head:find(ARGV[5], 53, true) == 53 and call('EXISTS', KEYS[2], KEYS[3]) == 0
  and not head:find(ARGV[4], 96, true) then
  local fence = struct.unpack('>I8', head, 86) + 1
  call('SETRANGE', RECORD, '85', struct.pack('>I8', fence))
  call('SET', KEYS[2], ARGV[4] .. '1-' .. ARGV[7], 'PX', ARGV[6])
  return {'held', fence, now, call('PTTL', RECORD), ''}
end
