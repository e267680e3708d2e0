/**
 * The scripts that Redis runs as one step each. Redis 7 replicates what they change, so they may use its clock. All
 * keys of a script have one hash tag, so that a cluster has them on one node.
 */

const readClock = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)`;

/** KEYS: index. ARGV: hash, lifetime, NX or XX. Also removes what has ended. */
export const indexSession = `${readClock}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(0', now)
redis.call('ZADD', KEYS[1], ARGV[3], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])`;

/** KEYS: index. ARGV: lifetime. Returns the hashes, which are marked as to be destroyed. */
export const markSessions = `
local hashes = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, hash in ipairs(hashes) do redis.call('ZADD', KEYS[1], 0, hash) end
if #hashes > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return hashes`;

/**
 * KEYS: prices, then as many locks. ARGV: token, lifetime of a lock. Returns the clock, and for each price its value, 1
 * when the lock is the caller's now, 0 when another caller has it.
 */
export const claimPrices = `${readClock}
local count = #KEYS / 2
local reply = { now }
for i = 1, count do
  local value = redis.call('GET', KEYS[i])
  if value then
    reply[i + 1] = value
  elseif redis.call('SET', KEYS[count + i], ARGV[1], 'NX', 'PX', ARGV[2]) then
    reply[i + 1] = 1
  else
    reply[i + 1] = 0
  end
end
return reply`;

/**
 * KEYS: prices. ARGV: lifetime, then for each price its moment as_of, its time, and the rest of its JSON object; an
 * empty rest says that there is no price. A value lives from as_of on, never from a moment that the server's clock has
 * not reached. One that has ended is not stored, nor one whose time is before that of the stored price. Returns how
 * many were stored.
 */
export const storePrices = `${readClock}
local stored = 0
for i, key in ipairs(KEYS) do
  local as_of = math.min(tonumber(ARGV[i * 3 - 1]), now)
  local time, rest = tonumber(ARGV[i * 3]), ARGV[i * 3 + 1]
  local left = as_of + ARGV[1] - now
  local value = 'null'
  if rest ~= '' then value = string.format('{"as_of":%.0f,%s', as_of, rest) end
  local old = redis.call('GET', key)
  local is_newer = not old or old == 'null'
  if not is_newer and rest ~= '' then
    local is_read, price = pcall(cjson.decode, old)
    is_newer = not is_read or type(price) ~= 'table' or not tonumber(price.time)
      or tonumber(price.time) < time
      or (tonumber(price.time) == time and (tonumber(price.as_of) or 0) <= as_of)
  end
  if left > 0 and is_newer then
    redis.call('SET', key, value, 'PX', string.format('%.0f', left))
    stored = stored + 1
  end
end
return stored`;

/** KEYS: locks. ARGV: token. Removes those that the caller still has. */
export const releaseLocks = `
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end`;
