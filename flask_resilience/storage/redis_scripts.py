"""What Redis runs to count: the rules of ``policies/``, reckoned where the counters lie.

Each script asks for the time, looks at every quota, and writes for all of them or not at all. Their
figures are those of :class:`~flask_resilience.policies.window_counter.WindowCounter` and
:func:`~flask_resilience.policies.moving_window.moving_standing`, step by step, to the last bit.
What is no counter at the key counts as none, and is written over.
"""

from __future__ import annotations

from .redis_server import Script

TAKE_COUNTED = Script("""
-- KEYS[1]: a hash; the field of a window's length holds its start, the previous count, the current
-- ARGV: 1 to take, 0 to look; the cost; its time to live; 1 if windows slide; amounts; windows
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local cost, slides, quotas = tonumber(ARGV[2]), ARGV[4] == '1', (#ARGV - 4) / 2
local held = redis.pcall('HMGET', KEYS[1], unpack(ARGV, 5 + quotas))
if held.err and not string.find(held.err, 'WRONGTYPE') then
    return held
end
local granted, answer, taken = 1, {0, time[1], time[2]}, {}
for i = 1, quotas do
    local amount, window = tonumber(ARGV[4 + i]), tonumber(ARGV[4 + quotas + i])
    local start, previous, current = string.match(held[i] or '', '^(%d+%.?%d*) (%d+) (%d+)$')
    start = tonumber(start) or now
    previous, current = tonumber(previous) or 0, tonumber(current) or 0
    if now >= start + window + window then
        start, previous, current = now, 0, 0
    elseif now >= start + window then
        start, previous, current = start + window, current, 0
    end
    local used = current
    if slides and previous > 0 then
        local left = math.min(start + window - now, window) - 1e-6
        used = current + math.max(0, math.floor(previous * left / window))
    end
    if used + cost > amount then
        granted = 0
    end
    local text = '%.17g %.0f %.0f'
    answer[3 + i] = string.format(text, start, previous, current)
    taken[2 * i - 1] = ARGV[4 + quotas + i]
    taken[2 * i] = string.format(text, start, previous, current + cost)
end
answer[1] = granted
if granted == 1 and ARGV[1] == '1' then
    if held.err then
        redis.call('DEL', KEYS[1])
    end
    redis.call('HSET', KEYS[1], unpack(taken))
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return answer
""")

GIVE_BACK_COUNTED = Script("""
-- KEYS[1]: as above
-- ARGV: the cost; when it was taken; windows
local cost, at = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.pcall('HMGET', KEYS[1], unpack(ARGV, 3))
if held.err and not string.find(held.err, 'WRONGTYPE') then
    return held
end
for i = 3, #ARGV do
    local text = held[i - 2] or ''
    local start, previous, current = string.match(text, '^(%d+%.?%d*) (%d+) (%d+)$')
    if start then
        if at >= tonumber(start) then
            current = math.max(0, current - cost)
        elseif at >= start - ARGV[i] then
            previous = math.max(0, previous - cost)
        end
        text = string.format('%s %.0f %.0f', start, previous, current)
        redis.call('HSET', KEYS[1], ARGV[i], text)
    end
end
""")

TAKE_MOVING = Script("""
-- KEYS[1]: a list of when each unit was taken, in microseconds, the oldest first
-- ARGV: 1 to take, 0 to look; the cost; its time to live; amounts; windows
local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]
local cost, quotas = tonumber(ARGV[2]), (#ARGV - 3) / 2
local length = redis.pcall('LLEN', KEYS[1])
local odd = type(length) == 'table'
if odd then
    if not string.find(length.err, 'WRONGTYPE') then
        return length
    end
    length = 0
end
local function unit(index)
    return tonumber(redis.call('LINDEX', KEYS[1], index)) or 0
end
local function first_after(bound)
    local low, high = 0, length
    if length == 0 or unit(0) > bound then
        high = 0
    end
    while low < high do
        local middle = math.floor((low + high) / 2)
        if unit(middle) > bound then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end
local granted, answer, first = 1, {0, now}, 0
for i = 1, quotas do
    local amount, window = tonumber(ARGV[3 + i]), ARGV[3 + quotas + i] * 1e6
    first = first_after(now - window)
    local used, oldest, blocking = length - first, 0, 0
    if used > 0 then
        oldest = unit(first)
    end
    if used + cost > amount then
        granted = 0
        if cost <= amount then
            blocking = unit(first + used + cost - amount - 1)
        end
    end
    answer[3 * i], answer[3 * i + 1], answer[3 * i + 2] = used, oldest, blocking
end
answer[1] = granted
if granted == 1 and ARGV[1] == '1' then
    if odd then
        redis.call('DEL', KEYS[1])
    elseif first > 0 then
        redis.call('LTRIM', KEYS[1], first, -1)
    end
    local units, most = {}, 1000
    for i = 1, math.min(cost, most) do
        units[i] = string.format('%.0f', now)
    end
    for pushed = 0, cost - 1, most do
        redis.call('RPUSH', KEYS[1], unpack(units, 1, math.min(cost - pushed, most)))
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return answer
""")

GIVE_BACK_MOVING = Script("""
-- KEYS[1]: as above
-- ARGV: the cost; when it was taken, in microseconds
if redis.call('TYPE', KEYS[1]).ok == 'list' then
    redis.call('LREM', KEYS[1], -ARGV[1], ARGV[2])
end
""")
