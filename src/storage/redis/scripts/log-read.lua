--[[
Reads the events of one index key.

KEYS[1]  the stream of the recent tier
KEYS[2]  the stream of the evidence tier
KEYS[3]  the index
ARGV     1 asc or desc, 2 limit, 3 and 4 the lower and the upper bound, in the form of BYLEX

Returns  {position, event, …}
Errors   WRONGTYPE <type> at <key>
]]
--include log-marks

local wrong = wrong_type(KEYS[1], 'stream') or wrong_type(KEYS[2], 'stream') or wrong_type(KEYS[3], 'zset')
if wrong then return wrong end
local limit, low, high, descending = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[1] == 'desc'

-- A member of the index is a position with leading zeros.
local function member_of(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  return string.rep('0', 15 - #ms) .. ms .. '-' .. string.rep('0', 15 - #seq) .. seq
end

local function event_at(id)
  return redis.call('XRANGE', KEYS[1], id, id)[1] or redis.call('XRANGE', KEYS[2], id, id)[1]
end

-- The member of the next event after this position, of any index key, in the direction of reading.
local function next_member(id)
  local found
  if descending then
    found = redis.call('XREVRANGE', KEYS[1], '(' .. id, '-', 'COUNT', 1)[1]
      or redis.call('XREVRANGE', KEYS[2], '(' .. id, '-', 'COUNT', 1)[1]
  else
    found = redis.call('XRANGE', KEYS[2], '(' .. id, '+', 'COUNT', 1)[1]
      or redis.call('XRANGE', KEYS[1], '(' .. id, '+', 'COUNT', 1)[1]
  end
  return found and member_of(found[1])
end

-- Another program that removed events left their index entries. Those between two events are skipped together. At most
-- 10,000 are looked at.
local result, skip_to, looked = {}, nil, 0
repeat
  local places
  if descending then
    places = redis.call('ZRANGE', KEYS[3], high, low, 'BYLEX', 'REV', 'LIMIT', 0, limit)
  else
    places = redis.call('ZRANGE', KEYS[3], low, high, 'BYLEX', 'LIMIT', 0, limit)
  end
  for _, place in ipairs(places) do
    local is_skipped = skip_to and (descending and place > skip_to or not descending and place < skip_to)
    if not is_skipped then
      local ms, seq = string.match(place, '^0*(%d+)-0*(%d+)$')
      local id = ms .. '-' .. seq
      local found = event_at(id)
      if found then
        result[#result + 1] = id
        result[#result + 1] = found[2][2]
        if #result == 2 * limit then return result end
      else
        skip_to, looked = next_member(id), looked + 1
        if not skip_to then return result end
      end
    end
  end
  if #places < limit then return result end
  local last = places[limit]
  local is_far = skip_to and (descending and skip_to < last or not descending and skip_to > last)
  local bound = is_far and '[' .. skip_to or '(' .. last
  if descending then high = bound else low = bound end
until looked >= 10000
return result
