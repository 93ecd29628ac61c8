--[[
Returns the next number of a sequence.

KEYS[1]  the sequence
ARGV[1]  the highest number that this process has seen. A failover may reset the sequence; it goes on after this number.

Returns  the number
Errors   DAMAGED value of <key>
]]
local current = redis.call('GET', KEYS[1]) or '0'
if not (#current < 17 and string.find(current, '^%d+$')) then
  return redis.error_reply('DAMAGED value of ' .. KEYS[1])
end
local number = math.max(tonumber(current), tonumber(ARGV[1])) + 1
-- %.0f, because tostring writes 1e+14, which Redis does not read as an integer.
redis.call('SET', KEYS[1], string.format('%.0f', number))
return number
