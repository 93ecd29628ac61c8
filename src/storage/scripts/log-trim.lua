--[[
Removes events with their index entries. It only removes, so it runs also when Redis is full.

KEYS[1]   the stream
KEYS[2…]  the keys of the index entries, in the order of the events
ARGV      for each event its position, its place in the index, and how many index entries it has

Returns   nothing
Errors    WRONGTYPE <type> at <key>
]]
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= 'zset' then
    return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[i])
  end
end
local key = 2
for i = 1, #ARGV, 3 do
  redis.call('XDEL', KEYS[1], ARGV[i])
  for _ = 1, tonumber(ARGV[i + 2]) do
    redis.call('ZREM', KEYS[key], ARGV[i + 1])
    key = key + 1
  end
end
