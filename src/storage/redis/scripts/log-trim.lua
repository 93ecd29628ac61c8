--[[
Removes events with their index entries, and appends an event that reports it. The removals come first, so the script
also works in a full Redis.

KEYS[1]   the stream
KEYS[2…]  the keys of the index entries, in the order of the events
ARGV[1]   the event that reports the removal, or an empty string
ARGV[2…]  for each event: its position, its member in the index, and the number of its index entries

Returns   the number of removed events; 0 if another replica has removed the first of them at the same time
Errors    WRONGTYPE <type> at <key>
]]
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= 'zset' then
    return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[i])
  end
end
if #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) == 0 then return 0 end
local key, removed = 2, 0
for i = 2, #ARGV, 3 do
  removed = removed + redis.call('XDEL', KEYS[1], ARGV[i])
  for _ = 1, tonumber(ARGV[i + 2]) do
    redis.call('ZREM', KEYS[key], ARGV[i + 1])
    key = key + 1
  end
end
if ARGV[1] ~= '' then redis.call('XADD', KEYS[1], '*', 'event', ARGV[1], 'keys', '') end
return removed
