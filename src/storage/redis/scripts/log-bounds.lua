--[[
Reads where the log begins and ends, and how far its trims have come.

KEYS[1]  the stream of the recent tier
KEYS[2]  the stream of the evidence tier
KEYS[3]  the marks of the trims

Returns  {length, first position, last position, the fields of the last event} of the recent tier, the same of the evidence
         tier, and the marks `any` and `decisions`; a position that does not exist is empty
Errors   WRONGTYPE <type> at <key>
]]
--include log-marks

local wrong = wrong_type(KEYS[1], 'stream') or wrong_type(KEYS[2], 'stream') or wrong_type(KEYS[3], 'hash')
if wrong then return wrong end
local function bounds_of(info)
  local first, last = info['first-entry'], info['last-entry']
  return { info['length'], first and first[1] or '', last and last[1] or '', last and last[2] or {} }
end
local recent, evidence = info_of(KEYS[1]), info_of(KEYS[2])
local any, decisions = marks_of(recent, KEYS[3])
return { bounds_of(recent), bounds_of(evidence), any, decisions }
