--[[
Commits a transaction: every check, then every write, then the events. A script that errors half-way is not rolled
back, so whatever could fail is looked at before the first write. A call costs far more than what it does, so keys are
looked at together where a command allows it.

KEYS[1]   the record of this transaction: one that is sent twice is applied once
KEYS[2…]  one key for each operation, in their order; behind them, where there are events, the stream, and what the keys
          of its index begin with (they are in the same slot, and too many to be named one by one)
ARGV[1]   the operations, one character each, checks first
ARGV[2]   the id of the transaction, which becomes the revision of the collections it changes
ARGV[3]   how many of the operations are checks
ARGV[4]   how long the record is kept, in seconds
ARGV[5]   how long an idempotency key is kept, in seconds
ARGV[6…]  the arguments of the operations, in their order; behind them the number of events, and as one text for each
          a line with its JSON and a line with the names under which the index finds it

Checks    a                 there is no such key
          e value           the string at the key is this
          v collection version   the indexes of the collection have this version
Removals  D, L              a string, a list
          U value           a string where it is this one
          R, J member       from a set, from an ordered index
Writes    S, O value        sets a string, sets one that is kept as long as an idempotency key
          A, I member       adds to a set, to an ordered index
          P value           appends to a list
          M field value     sets a field of a hash
          H n (field delta)…  adds to counters
          T template        sets a string, rendered from the counters of the H before it: \1name\2 is a counter,
                            \3sum\4count\4scale\2 a mean or null, \3\2 the time in seconds

A script decides with its first write whether Redis is full. Removals that stand first are therefore done also when it
is; of any other transaction the first write is refused, and then nothing of it is done.

Returns   the record of the transaction as a string: the position of its last event, a line break, and why the log
          refused the events, if it did; or the number of the operation whose check failed. What only checks leaves no
          record and returns an empty string
Errors    WRONGTYPE <type> at <key>, DAMAGED <field> of <key>, STALEINDEX <collection>
]]
local TYPES = {
  D = 'string', U = 'string', L = 'list', R = 'set', J = 'zset', S = 'string', O = 'string', A = 'set', I = 'zset',
  P = 'list', M = 'hash', H = 'hash', T = 'string', v = 'hash', e = 'string',
}
-- How many arguments an operation has, where it is not one.
local WIDTH = { a = 0, v = 2, D = 0, L = 0, M = 2 }

local ops, checks, typed = ARGV[1], tonumber(ARGV[3]), {}

local function wrong_type(found, key) return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. key) end

-- The type that is in the way; it is asked once, because most keys are named twice.
local function other_type(key, op)
  if typed[key] then return nil end
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= TYPES[op] then return found end
  typed[key] = true
end

-- Lua hands no more than some thousand arguments to a call.
local function sliced(args, call)
  for from = 1, #args, 1000 do call(unpack(args, from, math.min(from + 999, #args))) end
end

-- The strings that must be as they were read, in one call, and whether nothing stands where nothing must be.
local absent, present = { KEYS[1] }, {}
for i = 1, checks do
  local op = string.sub(ops, i, i)
  if op == 'a' then absent[#absent + 1] = KEYS[i + 1]
  elseif op == 'e' then present[#present + 1] = KEYS[i + 1] end
end
local in_the_way = false
sliced(absent, function(...) in_the_way = redis.call('EXISTS', ...) > 0 or in_the_way end)
if in_the_way then
  local recorded = redis.call('GET', KEYS[1])
  if recorded then
    -- A write, so that a WAIT behind it on this connection also covers what an earlier connection has written.
    redis.call('EXPIRE', KEYS[1], ARGV[4])
    return recorded
  end
end
local values, value_at = {}, 0
sliced(present, function(...)
  local found = redis.call('MGET', ...)
  for i = 1, #found do values[#values + 1] = found[i] end
end)

local arg = 6
for i = 1, checks do
  local op, key = string.sub(ops, i, i), KEYS[i + 1]
  if op == 'e' then
    value_at = value_at + 1
    if values[value_at] ~= ARGV[arg] then
      local found = other_type(key, op)
      if found then return wrong_type(found, key) end
      return i
    end
  elseif op == 'v' then
    local found = other_type(key, op)
    if found then return wrong_type(found, key) end
    if redis.call('HGET', key, ARGV[arg] .. '.index') ~= ARGV[arg + 1] then
      return redis.error_reply('STALEINDEX ' .. ARGV[arg])
    end
  elseif in_the_way then
    local found = redis.call('TYPE', key).ok
    if found == 'string' then return i end
    if found ~= 'none' then return wrong_type(found, key) end
  end
  typed[key] = true
  arg = arg + (WIDTH[op] or 1)
end

-- The counters of a collection as they stand there, or the name of one that is no integer.
local function read_counters(key)
  local found, counters = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do
    local value = found[i + 1]
    if #value > 16 or not string.find(value, '^%-?%d+$') then return nil, found[i] end
    counters[found[i]] = value
  end
  return counters
end

local counters, first_arg = {}, arg
for i = checks + 1, #ops do
  local op, key = string.sub(ops, i, i), KEYS[i + 1]
  local found, field = other_type(key, op), nil
  if found then return wrong_type(found, key) end
  if op == 'H' then
    counters[key], field = read_counters(key)
    if field then return redis.error_reply('DAMAGED ' .. field .. ' of ' .. key) end
    arg = arg + 1 + 2 * tonumber(ARGV[arg])
  else
    arg = arg + (WIDTH[op] or 1)
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
  setmetatable(counts, { __index = function() return '0' end })
  local text = string.gsub(template, '\1([^\2]*)\2', counts)
  return (string.gsub(text, '\3([^\2]*)\2', function(place)
    if place == '' then
      local time = redis.call('TIME')
      return time[1] .. '.' .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
    end
    local sum, count, scale = string.match(place, '^([^\4]*)\4([^\4]*)\4(.*)$')
    local divisor = tonumber(counts[count])
    if divisor == 0 then return 'null' end
    return number_text(tonumber(counts[sum]) / divisor / tonumber(scale))
  end))
end

local function add(key, counts, from, count)
  local set, gone = {}, {}
  for at = from, from + 2 * (count - 1), 2 do
    local name = ARGV[at]
    local sum = tonumber(counts[name] or 0) + tonumber(ARGV[at + 1])
    if sum == 0 then
      counts[name] = nil
      gone[#gone + 1] = name
    else
      counts[name] = string.format('%d', sum)
      set[#set + 1] = name
      set[#set + 1] = counts[name]
    end
  end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end

local counts
arg = first_arg
for i = checks + 1, #ops do
  local op, key, value = string.sub(ops, i, i), KEYS[i + 1], ARGV[arg]
  if op == 'S' then redis.call('SET', key, value)
  elseif op == 'I' then redis.call('ZADD', key, '0', value)
  elseif op == 'J' then redis.call('ZREM', key, value)
  elseif op == 'A' then redis.call('SADD', key, value)
  elseif op == 'M' then redis.call('HSET', key, value, ARGV[arg + 1])
  elseif op == 'H' then
    counts = counters[key]
    add(key, counts, arg + 1, tonumber(value))
  elseif op == 'T' then redis.call('SET', key, render(value, counts))
  elseif op == 'D' or op == 'L' then redis.call('DEL', key)
  elseif op == 'R' then redis.call('SREM', key, value)
  elseif op == 'P' then redis.call('RPUSH', key, value)
  elseif op == 'O' then redis.call('SET', key, value, 'EX', ARGV[5])
  elseif op == 'U' and redis.call('GET', key) == value then redis.call('DEL', key)
  end
  arg = arg + (op == 'H' and 1 + 2 * tonumber(value) or WIDTH[op] or 1)
end

-- Of a position as a member of an index, where the order of the bytes is that of the log.
local ZEROS = '000000000000000'
local function place_of(id)
  local dash = string.find(id, '-', 1, true)
  return string.sub(ZEROS, dash) .. string.sub(id, 1, dash) .. string.sub(ZEROS, #id - dash + 1) .. string.sub(id, dash + 1)
end

-- The state stands whatever the log says; it takes all of the events or none, and what it refuses is told, so that a gap will
-- say so. An index key gets its entries in one call. The texts are cut by find and sub: patterns with captures took half
-- of the time that a batch of events holds up Redis.
local function append(events)
  local stream, index, at = KEYS[#ops + 2], KEYS[#ops + 3], 1
  local ids, entries = {}, {}
  while at < #events do
    local event_end = string.find(events, '\n', at, true)
    local names_end = string.find(events, '\n', event_end + 1, true)
    local id = redis.pcall('XADD', stream, '*', 'event', string.sub(events, at, event_end - 1))
    -- Only the first can be refused: a stream that took one takes those behind it.
    if type(id) == 'table' then return '', stream .. ': ' .. id.err end
    local place = place_of(id)
    for name in string.gmatch(string.sub(events, event_end + 1, names_end - 1), '%S+') do
      local list = entries[name]
      if list then
        list[#list + 1], list[#list + 2] = '0', place
      else
        entries[name] = { '0', place }
      end
    end
    ids[#ids + 1], at = id, names_end + 1
  end

  for name, list in pairs(entries) do
    local refused
    sliced(list, function(...)
      local added = redis.pcall('ZADD', index .. name, ...)
      refused = refused or (type(added) == 'table' and added.err)
    end)
    if refused then
      for i = 1, #ids do redis.call('XDEL', stream, ids[i]) end
      for done, places in pairs(entries) do
        if done == name then return '', index .. name .. ': ' .. refused end
        for i = 2, #places, 2 do redis.call('ZREM', index .. done, places[i]) end
      end
    end
  end
  return ids[#ids], ''
end

local record, events = '', tonumber(ARGV[arg])
if checks == #ops and events == 0 then return record end
if events > 0 then
  local last, refused = append(ARGV[arg + 1])
  -- Where nothing was written before it, that Redis is full is not the log's own trouble.
  if checks == #ops and last == '' and string.find(refused, ': OOM ', 1, true) then
    return redis.error_reply(string.match(refused, 'OOM .*'))
  end
  record = last .. '\n' .. refused
  -- Nothing was done, so nothing is to be remembered: the log may take them when they are sent again.
  if checks == #ops and last == '' then return record end
end
redis.call('SET', KEYS[1], record, 'EX', ARGV[4])
return record
