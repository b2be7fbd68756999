-- The budget of one upstream account, decided atomically and by this server's clock alone. Times are microseconds.
--
-- The log holds one entry per call, promised or made; its score is the LATEST moment that call can be sent. A new slot
-- begins only when, for every window, fewer than `limit` entries lie within (window + margin) before it. Whatever the
-- order in which slots are handed out and used, the last one handed out of any limit + 1 calls contradicts that, so no
-- window ever holds more. Lowering an entry's score to when the call was really sent, or removing one that will never
-- be sent, only makes the log truer. A call may be sent later than its score by half of the margin and no more.
--
-- KEYS: meta, log, members, leases, slot    ARGV: operation, JSON of its arguments
local META, LOG, MEMBERS, LEASES, SLOT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local operation, arg = ARGV[1], cjson.decode(ARGV[2])
local MINUTE = 60000000
local MEMBER_SECONDS = 3600      -- a member's limits count this long after its last reservation
local LONGEST_STEP = MINUTE      -- a step whose own calls must be spread over more than this is refused
local KEEP_IDLE_MS = 600000      -- an idle account is forgotten this long after its last entry left every window
local BLOCK_STEP = 1000000       -- after a block, with budget left, slots are no further apart than this
local PACE = 0.9                 -- waiting slots are spaced a little tighter than the limit, to make up for missed ones

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
-- A restarted server may come back empty, or with an older copy of the log: either way it is not this run's memory.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')

local stored = redis.call('HMGET', META, 'run', 'since', 'last', 'pace', 'block')
local since, last = tonumber(stored[2] or 0), tonumber(stored[3] or 0)
local pace, block = tonumber(stored[4] or 0), tonumber(stored[5] or 0)
-- The log's entry '-' is always there; without it the log was lost although the rest survived.
local remembers = stored[1] == run and redis.call('ZSCORE', LOG, '-') ~= false

local function text(number) return string.format('%.0f', number) end

-- The tightest limit of each window length, and of concurrency, among all members seen lately.
local function rules()
  local windows, concurrency, longest, most, tolerance = {}, nil, 0, 1, nil
  local all = redis.call('HGETALL', MEMBERS)
  for i = 1, #all, 2 do
    local member = cjson.decode(all[i + 1])
    if member.seen < tonumber(clock[1]) - MEMBER_SECONDS then
      redis.call('HDEL', MEMBERS, all[i])
    else
      for _, window in ipairs(member.windows) do
        local known = windows[window.length]
        if not known or window.limit < known.limit then windows[window.length] = window end
      end
      if member.concurrency and (not concurrency or member.concurrency < concurrency) then
        concurrency = member.concurrency
      end
    end
  end
  local list = {}
  for length, window in pairs(windows) do
    local span = length + window.margin
    list[#list + 1] = {limit = window.limit, span = span, length = length}
    longest, most = math.max(longest, span), math.max(most, window.limit)
    -- Half of the margin is for the caller's own lateness, half for the way to the vendor.
    tolerance = math.min(tolerance or window.margin, math.floor(window.margin / 2))
  end
  return {windows = list, concurrency = concurrency, longest = longest, most = most, tolerance = tolerance or 1000000}
end

local function keep_for(microseconds)
  local ttl = math.ceil(microseconds / 1000) + KEEP_IDLE_MS
  redis.call('PEXPIRE', META, math.max(ttl, redis.call('PTTL', META)))
  redis.call('PEXPIRE', LOG, math.max(ttl, redis.call('PTTL', LOG)))
end

local function load_slot()
  local s = redis.call('HMGET', SLOT, 'at', 'until', 'cost', 'used', 'lease')
  if not s[1] then return nil end
  return {at = tonumber(s[1]), good_until = tonumber(s[2]), cost = tonumber(s[3]), used = tonumber(s[4]), lease = s[5]}
end

-- Give back what was never sent.
local function drop(slot)
  for call = slot.used + 1, slot.cost do redis.call('ZREM', LOG, arg.slot .. ':' .. call) end
  redis.call('DEL', SLOT)
  if slot.at == last and last > now then      -- it was the end of the queue: move that back
    local newest = redis.call('ZREVRANGE', LOG, 0, 0, 'WITHSCORES')
    last = math.min(last, math.max(now, tonumber(newest[2] or 0)))
    redis.call('HSET', META, 'last', text(last), 'pace', text(math.min(pace, last)))
  end
end

local function busy(concurrency)
  if not concurrency then return false end
  redis.call('ZREMRANGEBYSCORE', LEASES, '-inf', text(now))
  return redis.call('ZCARD', LEASES) >= concurrency
end

local function hold_lease()
  redis.call('ZADD', LEASES, text(now + arg.lease_ttl), arg.lease)
  redis.call('PEXPIRE', LEASES, math.ceil(arg.lease_ttl / 1000) * 2)
end

-- The last look at a slot; with `send`, one of its calls leaves now.
local function use(slot, rule, send)
  if not slot then return {'void', 0, 0} end
  if send and slot.lease == arg.lease then                                     -- the same request, sent twice
    return {'go', slot.at, redis.call('ZSCORE', LEASES, arg.lease) and 1 or 0}
  end
  if not remembers then return {'void', 0, 0} end
  local entry = arg.slot .. ':' .. (slot.used + 1)
  if slot.used >= slot.cost or slot.at < block or now > slot.good_until + rule.tolerance
      or not redis.call('ZSCORE', LOG, entry) then
    drop(slot)
    return {'void', 0, 0}
  end
  local at = slot.at
  for _, window in ipairs(rule.windows) do         -- more calls in the slot than the window allows: they follow each other
    if slot.used >= window.limit then
      at = math.max(at, tonumber(redis.call('HGET', SLOT, 'sent' .. (slot.used + 1 - window.limit))) + window.span)
    end
  end
  if at > now or not send then return {'wait', at, math.max(0, at - now)} end
  if busy(rule.concurrency) then return {'busy', slot.at, 0} end
  if rule.concurrency then hold_lease() end
  redis.call('HSET', SLOT, 'used', slot.used + 1, 'lease', arg.lease, 'sent' .. (slot.used + 1), text(now))
  redis.call('ZADD', LOG, text(now), entry)
  return {'go', slot.at, rule.concurrency and 1 or 0}
end

local function reserve()
  redis.call('HSET', MEMBERS, arg.member, cjson.encode({seen = tonumber(clock[1]), windows = arg.windows, concurrency = arg.concurrency}))
  redis.call('EXPIRE', MEMBERS, MEMBER_SECONDS)
  local rule = rules()
  if not remembers or since > now - rule.longest then return {'cold', rule.longest, rule.most} end
  local slot = load_slot()
  if not slot then
    if arg.lease and busy(rule.concurrency) then return {'busy', 0, 0} end
    local at, latest, spread, gap = math.max(now, block, last), 0, 0, nil
    for _, window in ipairs(rule.windows) do
      local rank = math.max(1, window.limit - arg.cost + 1)
      local newest = redis.call('ZREVRANGE', LOG, rank - 1, rank - 1, 'WITHSCORES')
      local free = newest[2] and tonumber(newest[2]) + window.span or 0
      local even = window.span / window.limit
      -- Waiting slots follow at the pace of the window that makes them wait; after a block, at the fastest allowed, and
      -- not at that of an hour's budget that is hardly touched.
      if free > now and free > latest then
        latest, gap = free, even
      elseif latest == 0 then
        gap = math.min(gap or even, even)
      end
      at = math.max(at, free)
      spread = math.max(spread, (math.ceil(arg.cost / window.limit) - 1) * window.span)
      if spread > LONGEST_STEP then return {'impossible', window.limit, window.length} end
    end
    if at > now then
      at = math.ceil(math.max(at, pace))
      local step = math.floor((gap or 0) * arg.cost * PACE)
      pace = at + (latest == 0 and math.min(step, BLOCK_STEP) or step)
    else
      pace = at
    end
    if at - now > arg.horizon then return {'far', at, at - now} end
    local good_until = at
    if arg.cost > 1 then good_until = at + arg.hold + spread end
    for call = 1, arg.cost do redis.call('ZADD', LOG, text(good_until), arg.slot .. ':' .. call) end
    redis.call('HSET', SLOT, 'at', text(at), 'until', text(good_until), 'cost', arg.cost, 'used', 0)
    redis.call('PEXPIRE', SLOT, math.ceil((good_until - now) / 1000) + 60000)
    redis.call('ZREMRANGEBYSCORE', LOG, 1, '(' .. text(now - rule.longest))
    redis.call('HSET', META, 'last', text(at), 'pace', text(pace), 'since', text(math.max(since, now - rule.longest)))
    keep_for(good_until - now + rule.longest)
    slot = {at = at, good_until = good_until, cost = arg.cost, used = 0}
  end
  return use(slot, rule, arg.lease ~= nil)
end

-- The log does not reach back far enough (new, empty after a restart, or a longer window than before): complete it.
local function seed()
  if remembers and since <= now - arg.span then return {'seeded', 0, 0} end
  if not remembers then
    redis.call('ZREMRANGEBYSCORE', LOG, '(' .. text(now), '+inf')    -- promises of the run before: void, not being in the log
    redis.call('HSET', META, 'run', run, 'last', text(now), 'pace', text(now))
  end
  redis.call('ZADD', LOG, 0, '-')
  redis.call('HSET', META, 'since', text(now - arg.span))
  local added = 0
  for i, entry in ipairs(arg.history) do                              -- newest first
    local upto = math.min(entry[1], now)
    if upto <= now - arg.span or added >= arg.most then break end
    local older = arg.history[i + 1]
    local from = math.max(upto - MINUTE, math.min(older and older[1] or 0, upto - 1))
    -- What survived in the log is not counted twice.
    local missing = entry[2] - redis.call('ZCOUNT', LOG, '(' .. text(from), text(upto))
    for call = 1, math.min(missing, arg.most - added) do
      redis.call('ZADD', LOG, text(upto), 'h:' .. text(now) .. ':' .. i .. ':' .. call)
      added = added + 1
    end
  end
  keep_for(arg.span)
  return {'seeded', added, 0}
end

local function shut()
  block = math.max(block, now + arg.seconds)
  redis.call('HSET', META, 'block', text(block))
  -- Slots in the block are void, so their entries need not count; calls already sent lie before now.
  redis.call('ZREMRANGEBYSCORE', LOG, '(' .. text(now), '(' .. text(block))
  keep_for(block - now)
  return {'blocked', block, block - now}
end

-- For people: what is spent, promised and in flight. Says less than `reserve` knows, and changes nothing.
local function look()
  local rule, windows = rules(), {}
  for _, window in ipairs(rule.windows) do
    local used = redis.call('ZCOUNT', LOG, '(' .. text(now - window.span), text(now))
    windows[#windows + 1] = {limit = window.limit, seconds = window.length / 1000000, used = used}
  end
  local state = {
    windows = windows,
    concurrency = rule.concurrency,
    in_flight = redis.call('ZCOUNT', LEASES, '(' .. text(now), '+inf'),
    waiting = redis.call('ZCOUNT', LOG, '(' .. text(now), '+inf'),
  }
  if block > now then state.blocked_until = block / 1000000 end
  return cjson.encode(state)
end

if operation == 'look' then return look() end
if operation == 'reserve' then return reserve() end
if operation == 'redeem' then return use(load_slot(), rules(), false) end
if operation == 'start' then return use(load_slot(), rules(), true) end
if operation == 'seed' then return seed() end
if operation == 'block' then return shut() end
if operation == 'unused' then
  local slot = load_slot()
  if slot then drop(slot) end
  return {'dropped', 0, 0}
end
if operation == 'renew' then
  hold_lease()
  return {'renewed', 0, 0}
end
if operation == 'release' then
  redis.call('ZREM', LEASES, arg.lease)
  return {'released', 0, 0}
end
return redis.error_reply('unknown operation ' .. operation)
