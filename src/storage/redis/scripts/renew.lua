--[[
Prolongs a lease, or ends it, if it still is the one that is meant.

KEYS[1]  the lease
ARGV     1 its value, 2 how long in milliseconds; 0 ends it

Returns  1, or 0 where the lease is lost
]]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
