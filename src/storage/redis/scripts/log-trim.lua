#!lua flags=allow-oom
--[[
Takes the oldest events from the log, and appends events that report what was removed. It also works in a full Redis: what
it adds is smaller than what it takes. An event is in the evidence tier before it leaves the recent tier, so that half of
this script, after a crash of Redis, loses no event.

KEYS[1]   the stream of the recent tier
KEYS[2]   the stream of the evidence tier
KEYS[3]   the marks of the trims
KEYS[4…]  the keys of the index entries of the removed events, in the order of the events
ARGV[1]   the mark to move: `any` if any event may be removed, or `decisions`
ARGV[2]   the number of reports; the reports follow
ARGV[…]   for each event, oldest first: its fate, its position, its member in the index, and the number of its index entries.
          The index entries of a moved event stay.

The fates
  M  MOVE             from the recent to the evidence tier
  R  REMOVE           from the recent tier
  E  REMOVE_EVIDENCE  from the evidence tier

Returns   1; or 0 if nothing was done, because another replica has taken some of these events at the same time
Errors    WRONGTYPE <type> at <key>, DAMAGED <field> of <key>
]]
--include log-marks

local MOVE = 'M'
local REMOVE_EVIDENCE = 'E'

local wrong = wrong_type(KEYS[1], 'stream') or wrong_type(KEYS[2], 'stream') or wrong_type(KEYS[3], 'hash')
for i = 4, #KEYS do wrong = wrong or wrong_type(KEYS[i], 'zset') end
if wrong then return wrong end

local moved, recent, evidence, removed, at = {}, {}, {}, '', 3 + tonumber(ARGV[2])
for i = at, #ARGV, 4 do
  local fate, id = ARGV[i], ARGV[i + 1]
  local taken = fate == REMOVE_EVIDENCE and evidence or recent
  taken[#taken + 1] = id
  if fate == MOVE then moved[#moved + 1] = id else removed = id end
end
local function is_gone(stream, ids) return ids[1] and #redis.call('XRANGE', stream, ids[1], ids[1]) == 0 end
if is_gone(KEYS[1], recent) or is_gone(KEYS[2], evidence) then return 0 end

-- After half of this script the first events may be in both tiers.
local top = info_of(KEYS[2])['last-generated-id'] or '0-0'
local entries = {}
for _, id in ipairs(moved) do
  local found = redis.call('XRANGE', KEYS[1], id, id)[1]
  if found and is_before(top, id) then
    entries[#entries + 1] = found
  elseif found and #redis.call('XRANGE', KEYS[2], id, id) == 0 then
    return redis.error_reply('DAMAGED order of ' .. KEYS[2])
  end
end

local any, decisions = marks_of(info_of(KEYS[1]), KEYS[3])
if ARGV[1] == 'any' then any = later(any, removed) end
decisions = later(decisions, removed)

for _, entry in ipairs(entries) do redis.call('XADD', KEYS[2], entry[1], unpack(entry[2])) end
if #recent > 0 then redis.call('XDEL', KEYS[1], unpack(recent)) end
if #evidence > 0 then redis.call('XDEL', KEYS[2], unpack(evidence)) end
local key = 4
for i = at, #ARGV, 4 do
  for _ = 1, tonumber(ARGV[i + 3]) do
    redis.call('ZREM', KEYS[key], ARGV[i + 2])
    key = key + 1
  end
end
local info = info_of(KEYS[1])
local taken = string.format('%.0f', info['entries-added'] - info['length'])
redis.call('HSET', KEYS[3], 'any', any, 'decisions', decisions, 'taken', taken)
for i = 3, at - 1 do redis.call('XADD', KEYS[1], '*', 'event', ARGV[i], 'keys', '') end
return 1
