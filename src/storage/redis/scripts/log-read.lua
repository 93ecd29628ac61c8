--[[
Reads the events of one index key.

KEYS[1]  the stream
KEYS[2]  the index
ARGV     1 asc or desc, 2 limit, 3 and 4 the lower and the upper bound, in the form of BYLEX

Returns  {position, event, …}
Errors   WRONGTYPE <type> at <key>
]]
for i, wanted in ipairs({ 'stream', 'zset' }) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[i])
  end
end
local limit, low, high, descending = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[1] == 'desc'
local result = {}
-- Another program that trimmed the stream left index entries before its first event.
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not oldest then return result end
local ms, seq = string.match(oldest[1], '(%d+)-(%d+)')
local start = string.format('[%s%s-%s%s', string.rep('0', 15 - #ms), ms, string.rep('0', 15 - #seq), seq)
if low == '-' or string.sub(low, 2) < string.sub(start, 2) then low = start end
-- The index entries of events that another program deleted have no event. At most 10,000 of them are skipped.
for _ = 1, math.max(1, math.ceil(10000 / limit)) do
  local places
  if descending then
    places = redis.call('ZRANGE', KEYS[2], high, low, 'BYLEX', 'REV', 'LIMIT', 0, limit)
  else
    places = redis.call('ZRANGE', KEYS[2], low, high, 'BYLEX', 'LIMIT', 0, limit)
  end
  for _, place in ipairs(places) do
    local ms, seq = string.match(place, '^0*(%d+)-0*(%d+)$')
    local id = ms .. '-' .. seq
    local found = redis.call('XRANGE', KEYS[1], id, id)[1]
    if found then
      result[#result + 1] = id
      result[#result + 1] = found[2][2]
      if #result == 2 * limit then return result end
    end
  end
  if #places < limit then return result end
  if descending then high = '(' .. places[limit] else low = '(' .. places[limit] end
end
return result
