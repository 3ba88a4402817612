-- Reads one field.
--
-- KEYS: record, fields
-- ARGV: caller, epoch, name, first item, the item behind the last or '' for all
-- Answer: 'missing' | 'ended' | 'absent' | 'b' and chunks | 'n', number | 'l' and items
--
-- Contract: "Fields exist only with their session."
local epoch, name = ARGV[2], ARGV[3]
if head == '' then
  call('UNLINK', FIELDS)
  return {'missing'}
end
if head:sub(38, 45) ~= epoch then
  return {'ended'}
end
local value = look(name)
if not value then
  return {'absent'}
end
if value.kind == 'n' then
  return {'n', call('HGET', FIELDS, 'n' .. name)}
end
local first, last = 0, value.count
if value.kind == 'l' and ARGV[5] ~= '' then
  last = math.min(tonumber(ARGV[5]), last)
  first = math.min(tonumber(ARGV[4]), last)
end
return {value.kind, chunks(value.id, first, last)}
