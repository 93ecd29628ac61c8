--[[
Reads one page of a list, with its documents and its total. It walks the rows of the rarest filter and looks them up in
the other filters. The script makes the keys of the documents from the ids in the index, so they are not in KEYS. All keys
are in one slot.

KEYS[1]   the hash of collections
KEYS[2…]  the indexes that must all contain a row
ARGV      1 collection, 2 index version, 3 prefix of a document's key, 4 asc or desc, 5 and 6 the lowest and the highest
          order value (encoded, or empty), 7 the member after which the page begins (or empty), 8 limit, 9 the most
          rows that a page reads, 10 the most rows that are counted one by one, 11 the most bytes of documents in a page
          (one document may be larger), 12 whether the total is counted: 1 or 0

Returns   {total, or -1 if it was not counted; 1 if there are more rows; the last member that was read; id, document, …}
Errors    WRONGTYPE <type> at <key>, STALEINDEX <collection>
]]
if redis.call('HGET', KEYS[1], ARGV[1] .. '.index') ~= ARGV[2] then return redis.error_reply('STALEINDEX ' .. ARGV[1]) end

local rows, size, others = nil, nil, {}
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= 'zset' then
    return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[i])
  end
  local count = redis.call('ZCARD', KEYS[i])
  if not rows or count < size then
    if rows then others[#others + 1] = rows end
    rows, size = KEYS[i], count
  else
    others[#others + 1] = KEYS[i]
  end
end

local descending, limit = ARGV[4] == 'desc', tonumber(ARGV[8])
-- No byte sorts after 255, so this bound is above every member with the highest order value.
local low = ARGV[5] == '' and '-' or '[' .. ARGV[5]
local high = ARGV[6] == '' and '+' or '[' .. ARGV[6] .. '\255'

local function range(from, until_, reverse, count)
  if reverse then return redis.call('ZRANGE', rows, until_, from, 'BYLEX', 'REV', 'LIMIT', 0, count) end
  return redis.call('ZRANGE', rows, from, until_, 'BYLEX', 'LIMIT', 0, count)
end

-- For each member: whether all other indexes contain it.
local function passing(members)
  local pass = {}
  for i = 1, #members do pass[i] = true end
  for _, other in ipairs(others) do
    local scores = redis.call('ZMSCORE', other, unpack(members))
    for i = 1, #members do pass[i] = pass[i] and scores[i] and true or false end
  end
  return pass
end

local function total()
  if ARGV[12] == '0' then return -1 end
  if #others == 0 and ARGV[5] == '' and ARGV[6] == '' then return size end
  if #others == 0 then return redis.call('ZLEXCOUNT', rows, low, high) end
  if size > tonumber(ARGV[10]) then return -1 end
  if ARGV[5] == '' and ARGV[6] == '' then return redis.call('ZINTERCARD', #KEYS - 1, unpack(KEYS, 2)) end
  local sum, from = 0, low
  while true do
    local members = range(from, high, false, 1000)
    if #members == 0 then return sum end
    for _, passes in ipairs(passing(members)) do
      if passes then sum = sum + 1 end
    end
    from = '(' .. members[#members]
  end
end

local function page()
  local most = #others == 0 and limit or tonumber(ARGV[9])
  local chunk = #others == 0 and limit + 1 or 500
  local taken, looked, last = {}, 0, ARGV[7]
  while true do
    local after = last ~= '' and '(' .. last
    local members = range(not descending and after or low, descending and after or high, descending, chunk)
    if #members == 0 then return taken, 0, last end
    local pass = passing(members)
    for i, member in ipairs(members) do
      if #taken == limit or looked == most then return taken, 1, last end
      looked, last = looked + 1, member
      if pass[i] then taken[#taken + 1] = member end
    end
    if #members < chunk then return taken, 0, last end
  end
end

local members, more, last = page()

-- Only the documents that fit into the page are read.
local ids, keys, bytes, most_bytes, found = {}, {}, 0, tonumber(ARGV[11]), false
for i, member in ipairs(members) do
  local id = string.sub(member, 17)
  local size = redis.pcall('STRLEN', ARGV[3] .. id)
  if type(size) == 'table' then
    return redis.error_reply('WRONGTYPE ' .. redis.call('TYPE', ARGV[3] .. id).ok .. ' at ' .. ARGV[3] .. id)
  end
  bytes = bytes + size
  if found and bytes > most_bytes then
    more, last = 1, members[i - 1]
    break
  end
  found = found or size > 0
  ids[i], keys[i] = id, ARGV[3] .. id
end

local result = { total(), more, last }
if #ids == 0 then return result end
local documents = redis.call('MGET', unpack(keys))
for i, id in ipairs(ids) do
  if documents[i] then
    result[#result + 1] = id
    result[#result + 1] = documents[i]
  end
end
return result
