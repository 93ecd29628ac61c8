--[[
Extends or ends a lease, if it still has this value.

KEYS[1]  the lease
ARGV     1 its value, 2 the new duration in milliseconds; 0 ends it

Returns  1, or 0 if the lease is lost
]]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
