--[[
Commits a transaction, in five phases:

  1. Has this transaction been committed before? Then its record is the answer.
  2. The checks.
  3. The types of the keys that will be written, and the counters.
  4. The writes.
  5. The events, and the record of the transaction.

Redis does not roll a script back when it fails half-way. So everything that can fail is checked before phase 4. A call of a
command costs more than the command itself, so one call handles many keys where the command allows it.

KEYS[1]   the record of this transaction, by which a transaction that is sent twice is applied once
KEYS[2…]  one key for each operation, in the order of the operations. With events, two more follow: the stream, and the
          prefix of the keys of its index. Those keys are in the same slot, and too many to be named.
ARGV[1]   the operations, one letter each, checks first
ARGV[2]   the id of the transaction, which becomes the revision of the changed collections
ARGV[3]   the number of checks among the operations
ARGV[4]   how long the record is kept, in seconds
ARGV[5]   how long an idempotency record is kept, in seconds
ARGV[6…]  the arguments of the operations, in the order of the operations. Then the number of events. Then one text with
          two lines for each event: its JSON, and the names by which the index finds it.

The operations. `commit-operations.ts` has the same names.

  Checks
    a  EXPECT_ABSENT                               the key does not exist
    e  EXPECT_VALUE            value               the key holds this string
    v  EXPECT_INDEX_VERSION    collection version  the indexes of the collection have this version
    r  EXPECT_FEWER_ROWS       most                the index has fewer rows than this
  Removals
    D  DELETE_STRING
    L  DELETE_LIST
    U  DELETE_STRING_IF_EQUAL  value
    R  REMOVE_FROM_SET         member
    J  REMOVE_FROM_INDEX       member              an index is an ordered set
  Writes
    S  SET_STRING              value
    O  SET_IDEMPOTENCY_RECORD  value               expires after ARGV[5]
    A  ADD_TO_SET              member
    I  ADD_TO_INDEX            member
    P  APPEND_TO_LIST          value
    M  SET_FIELD               field value         a field of a hash
    H  ADD_TO_COUNTERS         n (field delta)…    fields of a hash; a field that becomes 0 is removed
    T  RENDER_STATS            template            sets a string, made from the counters of the last ADD_TO_COUNTERS

The marks of a template. `commit-operations.ts` has the same names, without MARK_.

    \1  MARK_COUNTER   \1name\2 is the value of a counter
    \2  MARK_END       ends a place
    \3  MARK_COMPUTED  \3sum\4count\4scale\2 is sum / count / scale, or null without a count; \3\2 is the time in seconds
    \4  MARK_PART      separates the parts of a mean

The first write of a script decides whether Redis is full. So a transaction that only removes puts its removals first,
and passes. The first write of any other transaction is refused, and then nothing of it is done.

Returns   the record of the transaction as a string: the position of its last event, a line break, and the reason why the
          log refused the events, if it did. Or the number of the operation whose check failed. A transaction that only
          checks leaves no record and returns an empty string.
Errors    WRONGTYPE <type> at <key>, DAMAGED <field> of <key>, STALEINDEX <collection>
]]
local EXPECT_ABSENT = 'a'
local EXPECT_VALUE = 'e'
local EXPECT_INDEX_VERSION = 'v'
local EXPECT_FEWER_ROWS = 'r'
local DELETE_STRING = 'D'
local DELETE_LIST = 'L'
local DELETE_STRING_IF_EQUAL = 'U'
local REMOVE_FROM_SET = 'R'
local REMOVE_FROM_INDEX = 'J'
local SET_STRING = 'S'
local SET_IDEMPOTENCY_RECORD = 'O'
local ADD_TO_SET = 'A'
local ADD_TO_INDEX = 'I'
local APPEND_TO_LIST = 'P'
local SET_FIELD = 'M'
local ADD_TO_COUNTERS = 'H'
local RENDER_STATS = 'T'

local MARK_COUNTER = '\1'
local MARK_END = '\2'
local MARK_COMPUTED = '\3'
local MARK_PART = '\4'

-- The type that the key of an operation must have, if it exists.
local TYPES = {
  [EXPECT_VALUE] = 'string', [EXPECT_INDEX_VERSION] = 'hash', [EXPECT_FEWER_ROWS] = 'zset',
  [DELETE_STRING] = 'string', [DELETE_LIST] = 'list', [DELETE_STRING_IF_EQUAL] = 'string',
  [REMOVE_FROM_SET] = 'set', [REMOVE_FROM_INDEX] = 'zset',
  [SET_STRING] = 'string', [SET_IDEMPOTENCY_RECORD] = 'string', [ADD_TO_SET] = 'set', [ADD_TO_INDEX] = 'zset',
  [APPEND_TO_LIST] = 'list', [SET_FIELD] = 'hash', [ADD_TO_COUNTERS] = 'hash', [RENDER_STATS] = 'string',
}
-- The number of arguments of an operation, if it is not one. ADD_TO_COUNTERS has its number as its first argument.
local ARGUMENTS = {
  [EXPECT_ABSENT] = 0, [EXPECT_INDEX_VERSION] = 2, [DELETE_STRING] = 0, [DELETE_LIST] = 0, [SET_FIELD] = 2,
}

-- The keys whose type is known to be right, by key.
local type_is_right = {}
local ops, checks = ARGV[1], tonumber(ARGV[3])

local function wrong_type(found, key) return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. key) end

-- The wrong type of a key, or nothing. Most keys are named twice, so the type of a key is read once.
local function other_type(key, op)
  if type_is_right[key] then return nil end
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= TYPES[op] then return found end
  type_is_right[key] = true
end

-- Calls `call` with all arguments, in slices: Lua passes at most some thousand arguments to a call.
local function in_slices(args, call)
  for from = 1, #args, 1000 do call(unpack(args, from, math.min(from + 999, #args))) end
end

-- Phase 1: the record of this transaction is looked for together with the keys that must not exist, in one call.
local must_be_absent, must_hold_value = { KEYS[1] }, {}
for i = 1, checks do
  local op = string.sub(ops, i, i)
  if op == EXPECT_ABSENT then must_be_absent[#must_be_absent + 1] = KEYS[i + 1]
  elseif op == EXPECT_VALUE then must_hold_value[#must_hold_value + 1] = KEYS[i + 1] end
end
local some_exist = false
in_slices(must_be_absent, function(...) some_exist = redis.call('EXISTS', ...) > 0 or some_exist end)
if some_exist then
  local recorded = redis.call('GET', KEYS[1])
  if recorded then
    -- A WAIT on this connection then also covers what an earlier connection has written.
    redis.call('EXPIRE', KEYS[1], ARGV[4])
    return recorded
  end
end

-- Phase 2: one call reads all strings that must be unchanged. `arg` is the first argument of the operation.
local values, value_at = {}, 0
in_slices(must_hold_value, function(...)
  local found = redis.call('MGET', ...)
  for i = 1, #found do values[#values + 1] = found[i] end
end)

local arg = 6
for i = 1, checks do
  local op, key = string.sub(ops, i, i), KEYS[i + 1]
  if op == EXPECT_VALUE then
    value_at = value_at + 1
    if values[value_at] ~= ARGV[arg] then
      local found = other_type(key, op)
      if found then return wrong_type(found, key) end
      return i
    end
  elseif op == EXPECT_INDEX_VERSION then
    local found = other_type(key, op)
    if found then return wrong_type(found, key) end
    if redis.call('HGET', key, ARGV[arg] .. '.index') ~= ARGV[arg + 1] then
      return redis.error_reply('STALEINDEX ' .. ARGV[arg])
    end
  elseif op == EXPECT_FEWER_ROWS then
    local found = other_type(key, op)
    if found then return wrong_type(found, key) end
    if redis.call('ZCARD', key) >= tonumber(ARGV[arg]) then return i end
  elseif some_exist then
    local found = redis.call('TYPE', key).ok
    if found == 'string' then return i end
    if found ~= 'none' then return wrong_type(found, key) end
  end
  type_is_right[key] = true
  arg = arg + (ARGUMENTS[op] or 1)
end

-- Phase 3: the types of the keys that will be written, and the counters.

-- The counters of a collection, or nothing and the name of a counter that is not an integer.
local function read_counters(key)
  local found, counters = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do
    local value = found[i + 1]
    if #value > 16 or not string.find(value, '^%-?%d+$') then return nil, found[i] end
    counters[found[i]] = value
  end
  return counters
end

local counters, first_write_arg = {}, arg
for i = checks + 1, #ops do
  local op, key = string.sub(ops, i, i), KEYS[i + 1]
  local found, field = other_type(key, op), nil
  if found then return wrong_type(found, key) end
  if op == ADD_TO_COUNTERS then
    counters[key], field = read_counters(key)
    if field then return redis.error_reply('DAMAGED ' .. field .. ' of ' .. key) end
    arg = arg + 1 + 2 * tonumber(ARGV[arg])
  else
    arg = arg + (ARGUMENTS[op] or 1)
  end
end

-- Phase 4: the writes.

-- The shortest text of a number: %.17g alone writes 0.1 as 0.10000000000000001.
local function number_text(value)
  for digits = 15, 17 do
    local text = string.format('%.' .. digits .. 'g', value)
    if tonumber(text) == value then return text end
  end
end

-- cjson cuts fractions to 14 digits and writes large integers as 1e+14, so the text is made here.
local function render(template, counts)
  setmetatable(counts, { __index = function() return '0' end })
  local name = '([^' .. MARK_END .. ']*)' .. MARK_END
  local part = '([^' .. MARK_PART .. ']*)'
  local text = string.gsub(template, MARK_COUNTER .. name, counts)
  return (string.gsub(text, MARK_COMPUTED .. name, function(place)
    if place == '' then
      local time = redis.call('TIME')
      return time[1] .. '.' .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
    end
    local sum, count, scale = string.match(place, '^' .. part .. MARK_PART .. part .. MARK_PART .. '(.*)$')
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
arg = first_write_arg
for i = checks + 1, #ops do
  local op, key, value = string.sub(ops, i, i), KEYS[i + 1], ARGV[arg]
  if op == SET_STRING then redis.call('SET', key, value)
  elseif op == ADD_TO_INDEX then redis.call('ZADD', key, '0', value)
  elseif op == REMOVE_FROM_INDEX then redis.call('ZREM', key, value)
  elseif op == ADD_TO_SET then redis.call('SADD', key, value)
  elseif op == SET_FIELD then redis.call('HSET', key, value, ARGV[arg + 1])
  elseif op == ADD_TO_COUNTERS then
    counts = counters[key]
    add(key, counts, arg + 1, tonumber(value))
  elseif op == RENDER_STATS then redis.call('SET', key, render(value, counts))
  elseif op == DELETE_STRING or op == DELETE_LIST then redis.call('DEL', key)
  elseif op == REMOVE_FROM_SET then redis.call('SREM', key, value)
  elseif op == APPEND_TO_LIST then redis.call('RPUSH', key, value)
  elseif op == SET_IDEMPOTENCY_RECORD then redis.call('SET', key, value, 'EX', ARGV[5])
  elseif op == DELETE_STRING_IF_EQUAL and redis.call('GET', key) == value then redis.call('DEL', key)
  end
  arg = arg + (op == ADD_TO_COUNTERS and 1 + 2 * tonumber(value) or ARGUMENTS[op] or 1)
end

-- Phase 5: the events, and the record of the transaction.

-- The member of an index for a position. The members sort by bytes in the order of the log.
local ZEROS = '000000000000000'
local function index_member_of(id)
  local dash = string.find(id, '-', 1, true)
  return string.sub(ZEROS, dash) .. string.sub(id, 1, dash) .. string.sub(ZEROS, #id - dash + 1) .. string.sub(id, dash + 1)
end

-- Appends all events or none, and never fails: the documents are written already. When the log refuses the events, the
-- record says why, and a gap reports them. Each index key gets its entries in one call. The text is split with find and
-- sub, because patterns with captures took half of the time of a batch.
local function append(events)
  local stream, index, at = KEYS[#ops + 2], KEYS[#ops + 3], 1
  local ids, entries = {}, {}
  while at < #events do
    local event_end = string.find(events, '\n', at, true)
    local names_end = string.find(events, '\n', event_end + 1, true)
    local names = string.sub(events, event_end + 1, names_end - 1)
    -- The names are stored with the event: a trim removes the index entries that they name.
    local id = redis.pcall('XADD', stream, '*', 'event', string.sub(events, at, event_end - 1), 'keys', names)
    -- Only the first event can be refused. If the stream accepts one, it accepts the rest.
    if type(id) == 'table' then return '', stream .. ': ' .. id.err end
    local member = index_member_of(id)
    for name in string.gmatch(names, '%S+') do
      local list = entries[name]
      if list then
        list[#list + 1], list[#list + 2] = '0', member
      else
        entries[name] = { '0', member }
      end
    end
    ids[#ids + 1], at = id, names_end + 1
  end

  for name, list in pairs(entries) do
    local refused
    in_slices(list, function(...)
      local added = redis.pcall('ZADD', index .. name, ...)
      refused = refused or (type(added) == 'table' and added.err)
    end)
    if refused then
      for i = 1, #ids do redis.call('XDEL', stream, ids[i]) end
      for done, members in pairs(entries) do
        if done == name then return '', index .. name .. ': ' .. refused end
        for i = 2, #members, 2 do redis.call('ZREM', index .. done, members[i]) end
      end
    end
  end
  return ids[#ids], ''
end

local record, events = '', tonumber(ARGV[arg])
if checks == #ops and events == 0 then return record end
if events > 0 then
  local last, refused = append(ARGV[arg + 1])
  -- Nothing was written before the events, so a full Redis refuses the whole transaction, not only the events.
  if checks == #ops and last == '' and string.find(refused, ': OOM ', 1, true) then
    return redis.error_reply(string.match(refused, 'OOM .*'))
  end
  record = last .. '\n' .. refused
  -- Nothing was done, so there is nothing to record. The log may take the events when they are sent again.
  if checks == #ops and last == '' then return record end
end
redis.call('SET', KEYS[1], record, 'EX', ARGV[4])
return record
