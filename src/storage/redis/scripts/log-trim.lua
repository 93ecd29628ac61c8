--[[
Removes events with their index entries, and appends an event that reports it. The removals come first, so the script
also works in a full Redis.

KEYS[1]   the stream
KEYS[2…]  the keys of the index entries, in the order of the events
ARGV[1]   the event that reports the removal, or an empty string
ARGV[2…]  for each event: its position, its member in the index, and the number of its index entries

Returns   nothing
Errors    WRONGTYPE <type> at <key>
]]
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= 'zset' then
    return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[i])
  end
end
local key, removed = 2, 0
for i = 2, #ARGV, 3 do
  removed = removed + redis.call('XDEL', KEYS[1], ARGV[i])
  for _ = 1, tonumber(ARGV[i + 2]) do
    redis.call('ZREM', KEYS[key], ARGV[i + 1])
    key = key + 1
  end
end
-- If another replica has removed them, it has reported it.
if removed > 0 and ARGV[1] ~= '' then redis.call('XADD', KEYS[1], '*', 'event', ARGV[1], 'keys', '') end
