"""The scripts of the shared tier. Each runs in the server as one step, so the server decides the order of events.

All keys begin with the prefix. `marks` is a hash: `id` is drawn when it is made, `seq` counts invalidations, and for
what was invalidated there is the number of its last invalidation: `all`, a pipeline, a group, a group of a pipeline.
`deleted` has the same for single keys. A record is a hash with the `id` and the number of the last invalidation that it
is past, its pipeline and its groups, and the record itself. So a server that has lost the marks has lost the records
that they hide, too: their `id` is another.
"""

from __future__ import annotations

from typing import Final

#: What a script answers where the marks are not those that its caller knows.
OTHER_MARKS: Final = -1
#: With more marks or deleted keys than these, everything before them is invalidated, or not stored: both are bounded.
_MOST: Final = 10_000

_FIELDS: Final = """
local function fields_of(prefix, pipeline, groups)
  local fields = {}
  if prefix == '' then fields = {'all', 'p:' .. pipeline} end
  for _, group in ipairs(cjson.decode(groups)) do
    fields[#fields + 1] = prefix .. 'g:' .. group
    fields[#fields + 1] = prefix .. 'q:' .. #pipeline .. ':' .. pipeline .. group
  end
  return fields
end
local function marks_of(marks, fields)
  if #fields == 0 then return {} end
  return redis.call('HMGET', marks, unpack(fields))
end
"""

#: Keys: marks, deleted, stream. Arguments: a new id; the id and the number that the caller knows. Gives id, seq, and
#: the last entry of the stream. A server that has forgotten invalidations begins with new marks.
BEGIN: Final = """
local id = redis.call('HGET', KEYS[1], 'id')
if id and id == ARGV[2] and tonumber(redis.call('HGET', KEYS[1], 'seq')) < tonumber(ARGV[3]) then id = false end
if not id then
  id = ARGV[1]
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'id', id, 'seq', 0, 'floor', 0)
end
if redis.call('HGET', KEYS[2], 'id') ~= id then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'id', id)
  redis.call('HSET', KEYS[1], 'floor', redis.call('HGET', KEYS[1], 'seq'))
end
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
return {id, redis.call('HGET', KEYS[1], 'seq'), last[1] and last[1][1] or '0-0'}
"""

#: Keys: marks, record. Argument: id. Gives -1; 0: nothing; or 1, the record, and when it was purged softly or nothing.
GET: Final = (
    _FIELDS
    + """
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {-1} end
local known = redis.call('HMGET', KEYS[2], 'i', 'n', 'p', 'g')
if not known[1] then return {0} end
local number = tonumber(known[2])
local hidden = known[1] ~= ARGV[1]
if not hidden then
  for _, mark in ipairs(marks_of(KEYS[1], fields_of('', known[3], known[4]))) do
    if mark and tonumber(mark) > number then hidden = true end
  end
end
if hidden then
  redis.pcall('DEL', KEYS[2])
  return {0}
end
local softened = ''
for _, mark in ipairs(marks_of(KEYS[1], fields_of('s', known[3], known[4]))) do
  if mark then
    local seq, at = string.match(mark, '^(%d+):(.*)$')
    if tonumber(seq) > number and (softened == '' or tonumber(at) < tonumber(softened)) then softened = at end
  end
end
return {1, redis.call('HGET', KEYS[2], 'd'), softened}
"""
)

#: Keys: marks, deleted, record. Arguments: id, number, key, pipeline, groups as JSON, milliseconds (0: never), record.
#: Gives -1; 0: it was invalidated; 1: it is stored.
STORE: Final = (
    _FIELDS
    + """
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] or redis.call('HGET', KEYS[2], 'id') ~= ARGV[1] then return -1 end
local number = tonumber(ARGV[2])
if tonumber(redis.call('HGET', KEYS[1], 'seq')) < number then return -1 end
if tonumber(redis.call('HGET', KEYS[1], 'floor')) > number then return 0 end
local deleted = redis.call('HGET', KEYS[2], 'k:' .. ARGV[3])
if deleted and tonumber(deleted) > number then return 0 end
for _, mark in ipairs(marks_of(KEYS[1], fields_of('', ARGV[4], ARGV[5]))) do
  if mark and tonumber(mark) > number then return 0 end
end
for _, mark in ipairs(marks_of(KEYS[1], fields_of('s', ARGV[4], ARGV[5]))) do
  if mark and tonumber(string.match(mark, '^%d+')) > number then return 0 end
end
-- Every field is written, so nothing of an older record is left. A script that has written is let go on without memory.
redis.call('HSET', KEYS[3], 'i', ARGV[1], 'n', number, 'p', ARGV[4], 'g', ARGV[5], 'd', ARGV[7])
if tonumber(ARGV[6]) > 0 then redis.call('PEXPIRE', KEYS[3], ARGV[6]) end
return 1
"""
)

#: Keys: marks, deleted, stream, record. Arguments: id, origin, kind (all, groups, key), pipeline, soft, when, names as
#: JSON, the most entries of the stream. Gives -1, or the number of the invalidation.
INVALIDATE: Final = f"""
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return -1 end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local kind, pipeline, soft, at = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local names = cjson.decode(ARGV[7])
local rest = false
if kind == 'key' then
  redis.call('DEL', KEYS[4])
  redis.call('HSET', KEYS[2], 'k:' .. names[1], seq)
  if redis.call('HLEN', KEYS[2]) > {_MOST} then
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[2], 'id', ARGV[1])
    redis.call('HSET', KEYS[1], 'floor', seq)
  end
elseif kind == 'all' and pipeline ~= '' then
  redis.call('HSET', KEYS[1], 'p:' .. pipeline, seq)
elseif kind == 'all' then
  rest = true
else
  for _, group in ipairs(names) do
    local field = 'g:' .. group
    if pipeline ~= '' then field = 'q:' .. #pipeline .. ':' .. pipeline .. group end
    if soft then
      redis.call('HSET', KEYS[1], 's' .. field, seq .. ':' .. at)
    else
      redis.call('HSET', KEYS[1], field, seq)
    end
  end
end
if rest or redis.call('HLEN', KEYS[1]) > {_MOST} then
  local floor = redis.call('HGET', KEYS[1], 'floor')
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'seq', seq, 'floor', floor, 'all', seq)
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[8], '*',
  'n', seq, 'o', ARGV[2], 'k', kind, 'p', pipeline, 's', ARGV[5], 'a', at, 'j', ARGV[7])
return seq
"""
