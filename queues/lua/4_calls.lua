-- Every Function by its name, and how it must be called.

local function integer(v)
  if v == '0' then return true end
  v = tonumber(v)
  return v and v >= 0 and v < 2 ^ 53 and v % 1 == 0
end

-- How a call must look, checked before it changes anything: number of keys; of leading arguments, and of arguments in each
-- of the groups after them (0: no groups); integers lists which of the leading ones, each which of a group's, are integers;
-- header is which of a group's is a header that will be read and written.
local function fits(c, K, A)
  local more = #A - c.lead
  if #K ~= c.keys or more < 0 or more > MOST * c.group or (c.group > 0 and more % c.group ~= 0) then return false end
  for _, i in ipairs(c.integers or {}) do
    if not integer(A[i]) then return false end
  end
  if c.each then
    for at = c.lead, #A - 1, c.group do
      if not integer(A[at + c.each]) or (c.header and #A[at + c.header] < 24) then return false end
    end
  end
  return not c.check or c.check(A)
end

local function define(c)
  local name, call = 'pen_' .. c[1] .. '_' .. VERSION, c[2]
  redis.register_function{
    function_name = name,
    flags = c.flags,
    callback = function(K, A)
      if not fits(c, K, A) then return redis.error_reply('ERR ' .. name .. ': wrong keys or arguments') end
      following = nil
      return call(K, A)
    end,
  }
end

-- Refused when Redis is out of memory: what brings new work. Everything that drains carries allow-oom.
local NEW, DRAINS, READS = {}, {'allow-oom'}, {'no-writes', 'allow-oom'}
define{'add', add, keys = 5, lead = 0, group = 3, each = 1, header = 2, flags = NEW}
define{'enqueue', enqueue, keys = 6, lead = 1, group = 5, integers = {1}, each = 3, header = 4, flags = NEW}
define{'renew', renew, keys = 5, lead = 1, group = 3, each = 3, flags = DRAINS}
define{'settle', settle, keys = 5, lead = 5, group = 1, integers = {1, 2, 3, 4, 5}, check = settle_fits, flags = DRAINS}
define{'retry', retry, keys = 5, lead = 1, group = 3, each = 2, header = 3, flags = DRAINS}
define{'dead', dead, keys = 4, lead = 1, group = 2, flags = DRAINS}
define{'park', park, keys = 4, lead = 1, group = 1, flags = DRAINS}
define{'unpark', unpark, keys = 2, lead = 3, group = 2, integers = {2, 3}, each = 2, flags = DRAINS}
define{'hand_back', hand_back, keys = 1, lead = 3, group = 1, integers = {3}, flags = DRAINS}
define{'suspect', to_quarantine, keys = 2, lead = 2, group = 1, flags = DRAINS}
define{'lone', lone, keys = 2, lead = 1, group = 0, flags = DRAINS}
define{'sweep', sweep, keys = 3, lead = 3, group = 0, integers = {2, 3}, flags = DRAINS}
define{'promote', promote, keys = 3, lead = 1, group = 0, integers = {1}, flags = DRAINS}
define{'cancel', cancel, keys = 8, lead = 3, group = 0, flags = DRAINS}
define{'due_now', due_now, keys = 1, lead = 1, group = 0, flags = DRAINS}
define{'snooze', snooze, keys = 1, lead = 2, group = 0, integers = {2}, flags = DRAINS}
define{'group', create_group, keys = 1, lead = 0, group = 0, flags = DRAINS}
define{'epoch', epoch, keys = 6, lead = 2, group = 0, flags = DRAINS}
define{'mend', mend, keys = 1, lead = 2, group = 0, integers = {2}, flags = DRAINS}
define{'collect', collect, keys = 1, lead = 1, group = 0, integers = {1}, flags = DRAINS}
define{'drop', drop, keys = 1, lead = 0, group = 2, each = 2, flags = DRAINS}
define{'cancels', cancels, keys = 2, lead = 0, group = 1, flags = READS}
define{'walk', walk, keys = 1, lead = 2, group = 0, integers = {2}, flags = READS}
define{'find', find, keys = 6, lead = 1, group = 1, flags = READS}
define{'depth', depth, keys = 6, lead = 0, group = 0, flags = READS}
