#!lua flags=allow-oom
--[[
Stores where the history of a server begins, once for each server that takes writes. A promoted replica and a restarted
server have a new id. Every process calls this before its first write to a server, so there is no event after the position
yet.

KEYS[1]  the list of histories, a hash: the id of a server, and the position where its history begins
KEYS[2]  the stream
ARGV     1 the id of this server, 2 how many histories are kept

Returns  {id, "order position seconds", …}
Errors   WRONGTYPE <type> at <key>
]]
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'hash' then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[1]) end
local histories = redis.call('HGETALL', KEYS[1])
local last, first, first_id, known = 0, math.huge, nil, false
for i = 1, #histories, 2 do
  local order = tonumber(string.match(histories[i + 1], '^%d+')) or 0
  known = known or histories[i] == ARGV[1]
  last = math.max(last, order)
  if order < first then first, first_id = order, histories[i] end
end
if known then return histories end
local position = '0-0'
if redis.call('TYPE', KEYS[2]).ok == 'stream' then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then position = info[i + 1] end
  end
end
local time = redis.call('TIME')
local seconds = time[1] .. '.' .. string.format('%06d', tonumber(time[2]))
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', last + 1) .. ' ' .. position .. ' ' .. seconds)
if #histories / 2 >= tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], first_id) end
return redis.call('HGETALL', KEYS[1])
