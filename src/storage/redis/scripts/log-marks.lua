-- A part of the scripts of the log: how far its trims have come.
--
-- The marks are fields of a hash: `any`, up to which any event may be missing; `decisions`, up to which events may be missing
-- that `trimRecent` does not keep; and `taken`, the number of events that were taken from the stream. Redis counts that
-- number too, so it shows whether another program, or a release without tiers, has removed events as well.

local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  return a_ms + 0 < b_ms + 0 or a_ms == b_ms and a_seq + 0 < b_seq + 0
end

local function position_before(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  if seq + 0 > 0 then return ms .. '-' .. string.format('%.0f', seq - 1) end
  return string.format('%.0f', ms - 1) .. '-999999999999999'
end

local function later(a, b) return (a == '' or b ~= '' and is_before(a, b)) and b or a end

-- The fields of XINFO STREAM, or those of an empty stream.
local function info_of(stream)
  if redis.call('EXISTS', stream) == 0 then return { ['length'] = 0, ['entries-added'] = 0 } end
  local flat, info = redis.call('XINFO', 'STREAM', stream), {}
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  return info
end

-- XTRIM leaves no mark, so the first event that is left shows up to where another program trimmed the stream.
local function mark_of_others(info, taken)
  local first, deleted = info['first-entry'], info['max-deleted-entry-id']
  if not first then return info['last-generated-id'] end
  -- An event behind the first one was deleted, not trimmed.
  local is_trim = deleted ~= '0-0' and is_before(deleted, first[1])
  if taken == 0 and is_trim then return deleted end
  return position_before(first[1])
end

-- `any` and `decisions`, empty if nothing was ever removed.
local function marks_of(info, trims)
  local found = redis.call('HMGET', trims, 'any', 'decisions', 'taken')
  local any, decisions, taken = found[1] or '', found[2] or '', tonumber(found[3] or 0)
  local removed = info['entries-added'] - info['length']
  -- The stream was deleted and made anew, and these are the marks of the old one.
  if removed < taken then any, decisions, taken = '', '', 0 end
  if removed > taken then
    local mark = mark_of_others(info, taken)
    any, decisions = later(any, mark), later(decisions, mark)
  end
  return any, decisions
end

local function wrong_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. key) end
end
