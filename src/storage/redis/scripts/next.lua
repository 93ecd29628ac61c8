--[[
The next number of a sequence.

KEYS[1]  the sequence
ARGV[1]  the highest number that the asking process has seen: after a failover that took history back the sequence
         goes on behind it

Returns  the number
Errors   DAMAGED value of <key>
]]
local current = redis.call('GET', KEYS[1]) or '0'
if not (#current < 17 and string.find(current, '^%d+$')) then
  return redis.error_reply('DAMAGED value of ' .. KEYS[1])
end
local number = math.max(tonumber(current), tonumber(ARGV[1])) + 1
-- %.0f, because tostring would write 1e+14 for what Redis must read as an integer.
redis.call('SET', KEYS[1], string.format('%.0f', number))
return number
