--[[
Acquires a lease if no process holds it. A second request with the same token returns the same lease.

KEYS[1]  the lease
KEYS[2]  the sequence of fences
ARGV     1 token, 2 duration in milliseconds, 3 the highest fence that this process has seen

Returns  the fence, or nothing if another process holds the lease
Errors   WRONGTYPE <type> at <key>, DAMAGED <what> of <key>
]]
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' then
  if found ~= 'string' then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[1]) end
  -- A lease without an end comes from another program, and would never be free again.
  if redis.call('PTTL', KEYS[1]) == -1 then return redis.error_reply('DAMAGED lease of ' .. KEYS[1]) end
  local fence, token = string.match(redis.call('GET', KEYS[1]), '^(%d+) (.*)$')
  if token == ARGV[1] then return tonumber(fence) end
  return nil
end
local current = redis.call('GET', KEYS[2]) or '0'
if not (#current < 17 and string.find(current, '^%d+$')) then
  return redis.error_reply('DAMAGED value of ' .. KEYS[2])
end
local number = math.max(tonumber(current), tonumber(ARGV[3])) + 1
local fence = string.format('%.0f', number)
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
return number
