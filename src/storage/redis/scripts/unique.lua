--[[
Reads which document holds a unique value.

KEYS[1]  the hash of collections
KEYS[2]  the unique value
ARGV     1 collection, 2 index version

Returns  the id of the document, or nothing
Errors   WRONGTYPE <type> at <key>, STALEINDEX <collection>
]]
if redis.call('HGET', KEYS[1], ARGV[1] .. '.index') ~= ARGV[2] then return redis.error_reply('STALEINDEX ' .. ARGV[1]) end
local found = redis.call('TYPE', KEYS[2]).ok
if found == 'none' then return nil end
if found ~= 'string' then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[2]) end
return redis.call('GET', KEYS[2])
