--[[
Takes a lease, or nothing where another holds it. Asked again with the same token it gives the same lease.

KEYS[1]  the lease
KEYS[2]  the sequence of fencing numbers
ARGV     1 token, 2 how long in milliseconds, 3 the highest fencing number that the asking process has seen

Returns  the fencing number, or nothing
Errors   WRONGTYPE <type> at <key>, DAMAGED <what> of <key>
]]
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' then
  if found ~= 'string' then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[1]) end
  -- A lease that never ends is none of ours, and would lock everybody out for ever.
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
