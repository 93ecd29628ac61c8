--[[
Commits a transaction: every check, then every write, then the events. A script that errors half-way is not rolled
back, so whatever could fail is looked at before the first write.

KEYS[1]   the record of this transaction: one that is sent twice is applied once
KEYS[2…]  one key for each operation, in their order; behind them, where there are events, the stream and then one key
          for each index entry of each event
ARGV[1]   the operations, one character each, checks first
ARGV[2]   the id of the transaction, which becomes the revision of the collections it changes
ARGV[3]   how long the record is kept, in seconds
ARGV[4]   how long an idempotency key is kept, in seconds
ARGV[5…]  the arguments of the operations, in their order; behind them the number of events, and for each its JSON and
          how many index entries it has

Checks    e value           the string at the key equals the value; an empty value means that there is none
          v field version   the hash of index versions has this version for this collection
Writes    D, L              removes a string, a list
          U value           removes a string where it is this one
          R, J member       removes from a set, from an ordered index
          S, O value        sets a string, sets one that is kept as long as an idempotency key
          A, I member       adds to a set, to an ordered index
          P value           appends to a list
          H n (field delta)…  adds to counters
          M field value     sets a field of a hash
          V collection      sets the revision of a collection
          T template        renders the statistics from the counters of the H before it

A script decides with its first write whether Redis is full. Removals that stand first are therefore done also when it
is; of any other transaction the record is the first write, and then nothing of it is done.

Returns   the record of the transaction as a string: the position of its last event, a line break, and why the log
          refused the events, if it did; or the number of the operation whose check failed
Errors    WRONGTYPE <type> at <key>, DAMAGED <field> of <key>, STALEINDEX <collection>
]]
local recorded = redis.call('GET', KEYS[1])
if recorded then return recorded end

local TYPES = {
  e = 'string', v = 'hash', D = 'string', U = 'string', L = 'list', R = 'set', J = 'zset', S = 'string', O = 'string',
  A = 'set', I = 'zset', P = 'list', H = 'hash', M = 'hash', V = 'hash', T = 'string',
}
-- How many arguments an operation has, where it is not one.
local WIDTH = { D = 0, L = 0, M = 2 }
local REMOVES = { D = true, U = true, L = true, R = true, J = true }

local ops = ARGV[1]
local typed = {}

-- Whether the key may be used as this type; remembered, because most keys are named twice.
local function other_type(key, wanted)
  if typed[key] then return nil end
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then return found end
  typed[key] = true
  return nil
end

local function damaged_counter(key, first, count)
  for field = first, first + 2 * (count - 1), 2 do
    local value = redis.call('HGET', key, ARGV[field])
    if value and not (#value < 17 and string.find(value, '^%-?%d+$')) then return ARGV[field] end
  end
end

local arg = 5
local first_write, first_arg
for i = 1, #ops do
  local op, key = string.sub(ops, i, i), KEYS[i + 1]
  local found = other_type(key, TYPES[op])
  if found then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. key) end
  if op == 'e' then
    if (redis.call('GET', key) or '') ~= ARGV[arg] then return i end
    arg = arg + 1
  elseif op == 'v' then
    if redis.call('HGET', key, ARGV[arg]) ~= ARGV[arg + 1] then
      return redis.error_reply('STALEINDEX ' .. ARGV[arg])
    end
    arg = arg + 2
  else
    if not first_write then first_write, first_arg = i, arg end
    if op == 'H' then
      local count = tonumber(ARGV[arg])
      local field = damaged_counter(key, arg + 1, count)
      if field then return redis.error_reply('DAMAGED ' .. field .. ' of ' .. key) end
      arg = arg + 1 + 2 * count
    else
      arg = arg + (WIDTH[op] or 1)
    end
  end
end

-- The shortest text that means this number: %.17g alone would write 0.1 as 0.10000000000000001.
local function number_text(value)
  for digits = 15, 17 do
    local text = string.format('%.' .. digits .. 'g', value)
    if tonumber(text) == value then return text end
  end
end

-- cjson would cut fractions to 14 digits and write large integers as 1e+14, so the text is made here.
local function render(template, counts)
  local function counter(name) return redis.call('HGET', counts, name) or '0' end
  return (string.gsub(template, '\1([^\2]*)\2', function(place)
    if place == '' then
      local time = redis.call('TIME')
      return time[1] .. '.' .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
    end
    local sum, count, scale = string.match(place, '^([^\3]*)\3([^\3]*)\3(.*)$')
    if not sum then return counter(place) end
    local divisor = tonumber(counter(count))
    if divisor == 0 then return 'null' end
    return number_text(tonumber(counter(sum)) / divisor / tonumber(scale))
  end))
end

local kept = false
local function keep(record)
  redis.call('SET', KEYS[1], record, 'EX', ARGV[3])
  kept = true
end

local counts
arg = first_arg or arg
for i = first_write or #ops + 1, #ops do
  local op, key, value = string.sub(ops, i, i), KEYS[i + 1], ARGV[arg]
  if not kept and not REMOVES[op] then keep('') end
  arg = arg + 1
  if op == 'S' then redis.call('SET', key, value)
  elseif op == 'I' then redis.call('ZADD', key, 0, value)
  elseif op == 'J' then redis.call('ZREM', key, value)
  elseif op == 'A' then redis.call('SADD', key, value)
  elseif op == 'H' then
    counts = key
    for _ = 1, tonumber(value) do
      if redis.call('HINCRBY', key, ARGV[arg], ARGV[arg + 1]) == 0 then redis.call('HDEL', key, ARGV[arg]) end
      arg = arg + 2
    end
  elseif op == 'U' then
    if redis.call('GET', key) == value then redis.call('DEL', key) end
  elseif op == 'M' then
    redis.call('HSET', key, value, ARGV[arg])
    arg = arg + 1
  elseif op == 'V' then redis.call('HSET', key, value, ARGV[2])
  elseif op == 'T' then redis.call('SET', key, render(value, counts))
  elseif op == 'D' or op == 'L' then
    redis.call('DEL', key)
    arg = arg - 1
  elseif op == 'R' then redis.call('SREM', key, value)
  elseif op == 'P' then redis.call('RPUSH', key, value)
  elseif op == 'O' then redis.call('SET', key, value, 'EX', ARGV[4])
  end
end
if not kept then keep('') end

local events = tonumber(ARGV[arg])
if events == 0 then return '' end

-- The state stands whatever the log says; what the log refuses is told, and a gap will say so.
local function append()
  local stream = #ops + 2
  for i = stream, #KEYS do
    local found = other_type(KEYS[i], i == stream and 'stream' or 'zset')
    if found then return '', KEYS[i] .. ' holds a ' .. found end
  end
  local index, last = stream + 1, ''
  for event = 1, events do
    local at = arg + 2 * event - 1
    local id = redis.pcall('XADD', KEYS[stream], '*', 'event', ARGV[at])
    if type(id) == 'table' then return last, id.err end
    last = id
    local count = tonumber(ARGV[at + 1])
    if count > 0 then
      local ms, seq = string.match(id, '^(%d+)-(%d+)$')
      local place = string.rep('0', 15 - #ms) .. ms .. '-' .. string.rep('0', 15 - #seq) .. seq
      for i = index, index + count - 1 do redis.call('ZADD', KEYS[i], 0, place) end
      index = index + count
    end
  end
  return last, ''
end

local last, refused = append()
local record = last .. '\n' .. refused
keep(record)
return record
