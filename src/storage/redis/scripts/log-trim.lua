--[[
Removes events with their index entries, and tells it. The removals come first, so it runs also when Redis is full.

KEYS[1]   the stream
KEYS[2…]  the keys of the index entries, in the order of the events
ARGV[1]   the event that tells of it, or nothing
ARGV[2…]  for each event its position, its place in the index, and how many index entries it has

Returns   nothing
Errors    WRONGTYPE <type> at <key>
]]
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= 'zset' then
    return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[i])
  end
end
local key, gone = 2, 0
for i = 2, #ARGV, 3 do
  gone = gone + redis.call('XDEL', KEYS[1], ARGV[i])
  for _ = 1, tonumber(ARGV[i + 2]) do
    redis.call('ZREM', KEYS[key], ARGV[i + 1])
    key = key + 1
  end
end
-- Somebody else may have been faster, and has told it.
if gone > 0 and ARGV[1] ~= '' then redis.call('XADD', KEYS[1], '*', 'event', ARGV[1]) end
