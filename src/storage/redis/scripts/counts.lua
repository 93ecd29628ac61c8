--[[
Reads the counters of a collection.

KEYS[1]  the hash of collections
KEYS[2]  the hash of counters
ARGV     1 collection, 2 index version

Returns  {name, value, …}
Errors   WRONGTYPE <type> at <key>, STALEINDEX <collection>
]]
if redis.call('HGET', KEYS[1], ARGV[1] .. '.index') ~= ARGV[2] then return redis.error_reply('STALEINDEX ' .. ARGV[1]) end
local found = redis.call('TYPE', KEYS[2]).ok
if found ~= 'none' and found ~= 'hash' then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[2]) end
return redis.call('HGETALL', KEYS[2])
