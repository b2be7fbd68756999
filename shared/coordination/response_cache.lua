-- The books of the response cache: which entries there are, how large, until when, and of which source. The entries
-- themselves are keys of their own, written and removed by the caller, so a cluster may keep them anywhere. `admit`
-- answers 1 or 0 and the entries that have to go.
--
-- KEYS: expiry (zset: entry -> ms), sizes (hash: entry -> bytes, and '+' -> all of them), of one source (zset as expiry)
-- ARGV: operation, entry or JSON list of entries, bytes, life in ms, most bytes of all entries
local EXPIRY, SIZES, SOURCE = KEYS[1], KEYS[2], KEYS[3]
local operation = ARGV[1]
local MOST_AT_ONCE = 200         -- entries that one call drops
local SHARE = 0.5                -- of the server's memory: what counts calls must always find room

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function drop(entry)
  local bytes = tonumber(redis.call('HGET', SIZES, entry) or 0)
  redis.call('ZREM', EXPIRY, entry)
  if redis.call('HDEL', SIZES, entry) == 1 then redis.call('HINCRBY', SIZES, '+', -bytes) end
end

local function lengthen(key, life)
  redis.call('PEXPIRE', key, math.max(life, redis.call('PTTL', key)))
end

local function server_has_room(bytes)
  local memory = redis.call('INFO', 'memory')
  local most = tonumber(string.match(memory, '\nmaxmemory:(%d+)') or 0)
  local used = tonumber(string.match(memory, 'used_memory:(%d+)') or 0)
  return most == 0 or used + bytes <= most * SHARE
end

if operation == 'admit' then
  local entry, bytes, life, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', now, 'LIMIT', 0, MOST_AT_ONCE)) do drop(gone) end
  redis.call('ZREMRANGEBYSCORE', SOURCE, '-inf', now)
  drop(entry)
  if bytes > most or not server_has_room(bytes) then return {0, entry} end
  local answer = {1}
  while tonumber(redis.call('HGET', SIZES, '+') or 0) + bytes > most do
    local first = redis.call('ZRANGE', EXPIRY, 0, 0)[1]    -- the one that would go first anyway
    if not first or #answer > MOST_AT_ONCE then return {0, entry, unpack(answer, 2)} end
    drop(first)
    answer[#answer + 1] = first
  end
  redis.call('ZADD', EXPIRY, now + life, entry)
  redis.call('HSET', SIZES, entry, bytes)
  redis.call('HINCRBY', SIZES, '+', bytes)
  redis.call('ZADD', SOURCE, now + life, entry)
  for _, key in ipairs(KEYS) do lengthen(key, life) end
  return answer
end

if operation == 'list' then return redis.call('ZRANGE', SOURCE, 0, -1) end

if operation == 'forget' then
  for _, entry in ipairs(cjson.decode(ARGV[2])) do
    drop(entry)
    redis.call('ZREM', SOURCE, entry)
  end
  return {1}
end

return redis.error_reply('no such operation: ' .. operation)
