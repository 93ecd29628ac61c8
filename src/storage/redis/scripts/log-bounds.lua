--[[
Reads where the log begins and ends.

KEYS[1]  the stream

Returns  {length, first position, last position, the latest position before the first that XDEL removed, the number of all removed
         events, the fields of the last event}; a position that does not exist is empty
Errors   WRONGTYPE <type> at <key>
]]
local found = redis.call('TYPE', KEYS[1]).ok
if found == 'none' then return { 0, '', '', '', 0, {} } end
if found ~= 'stream' then return redis.error_reply('WRONGTYPE ' .. found .. ' at ' .. KEYS[1]) end
local flat, info = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
local first, last, deleted = info['first-entry'], info['last-entry'], info['max-deleted-entry-id']
local removed = info['entries-added'] - info['length']
-- An empty log has lost its last event as well, by XDEL or by XTRIM.
if removed > 0 and not last then deleted = info['last-generated-id'] end
if deleted == '0-0' then deleted = '' end
local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  return a_ms + 0 < b_ms + 0 or a_ms == b_ms and a_seq + 0 < b_seq + 0
end
-- An event behind the first one was deleted, not trimmed.
if first and deleted ~= '' and not is_before(deleted, first[1]) then deleted = '' end
return { info['length'], first and first[1] or '', last and last[1] or '', deleted, removed, last and last[2] or {} }
