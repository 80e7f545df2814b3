-- Counts the requests of web, in a dict that all worker processes share, and tells Prometheus of them.
-- The dict's keys are those of Prometheus' text format. A bucket counts there what those below it do not, so that a
-- request touches one of them.

local counts = ngx.shared.metrics

-- As nginx.conf makes them of paths.
local ROUTES = { "page", "assets", "api", "outputs", "socket.io", "health", "metrics", "other" }
-- A client may send any word: "other" counts the rest.
local METHODS = {
  GET = "GET", HEAD = "HEAD", POST = "POST", PUT = "PUT", DELETE = "DELETE", PATCH = "PATCH", OPTIONS = "OPTIONS",
}
local FAILURES = { "429", "500", "502", "503", "504" }
-- Upper bounds in seconds.
local BUCKETS = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, math.huge }

local REQUESTS = "web_http_requests_total"
local DURATION = "web_http_request_duration_seconds"
local SIZE = "web_http_response_size_bytes_total"
local UPSTREAM_ERRORS = "web_upstream_errors_total"

-- A table that makes the value of a key when it is first asked for: making keys takes longer than counting.
local function memo(make)
  return setmetatable({}, {
    __index = function(known, key)
      known[key] = make(key)
      return known[key]
    end,
  })
end

local requests = memo(function(method)
  return memo(function(route)
    return memo(function(status)
      return REQUESTS .. '{method="' .. method .. '",route="' .. route .. '",status="' .. status .. '"}'
    end)
  end)
end)

local by_route = memo(function(name)
  return memo(function(route)
    return name .. '{route="' .. route .. '"}'
  end)
end)

local bucket = memo(function(route)
  return memo(function(bound)
    return DURATION .. '_bucket{route="' .. route .. '",le="' .. (bound == math.huge and "+Inf" or bound) .. '"}'
  end)
end)

-- Its connections last as long as somebody looks at the page.
local function timed(route)
  return route ~= "socket.io"
end

-- A full dict takes no new sample, and keeps those that it has.
local function add(key, n)
  if not counts:incr(key, n) then
    counts:safe_add(key, 0)
    counts:incr(key, n)
  end
end

-- From 0, because a rate misses the first request of a series that begins with it.
local function begin(method, route, success)
  add(requests[method][route][success], 0)
  for _, status in ipairs(FAILURES) do
    add(requests[method][route][status], 0)
  end
end
for _, route in ipairs(ROUTES) do
  begin("GET", route, "200")
end
begin("POST", "api", "202")

local M = {}

-- Once for each request, at its end.
function M.count()
  local var = ngx.var
  -- The kubelet asks for the page to learn whether the pod is ready: no user's request, and never an error.
  -- By parts of strings, because LuaJIT compiles no pattern.
  if (var.http_user_agent or ""):sub(1, 11) == "kube-probe/" then
    return
  end
  local route = var.route
  add(requests[METHODS[var.request_method] or "other"][route][var.status], 1)
  add(by_route[SIZE][route], tonumber(var.bytes_sent))
  local upstream_status = (var.upstream_status or ""):sub(-3)
  if upstream_status == "502" or upstream_status == "504" then
    add(by_route[UPSTREAM_ERRORS][route], 1)
  end
  if timed(route) then
    local seconds = tonumber(var.request_time)
    local i = 1
    while seconds > BUCKETS[i] do
      i = i + 1
    end
    add(bucket[route][BUCKETS[i]], 1)
    add(by_route[DURATION .. "_sum"][route], seconds)
  end
end

-- Answers with all of them.
function M.tell()
  local lines = {}
  local function family(name, kind, help)
    table.insert(lines, "# HELP " .. name .. " " .. help)
    table.insert(lines, "# TYPE " .. name .. " " .. kind)
  end
  local function sample(key, value)
    table.insert(lines, key .. " " .. value)
  end
  local function stored(key)
    return counts:get(key) or 0
  end

  family(REQUESTS, "counter", "Requests, each counted at its end: that of a WebSocket when it closes.")
  local keys = counts:get_keys(0)
  table.sort(keys)
  for _, key in ipairs(keys) do
    if key:sub(1, #REQUESTS) == REQUESTS then
      sample(key, stored(key))
    end
  end

  family(DURATION, "histogram", "Time from the first byte of a request to the last of its answer.")
  for _, route in ipairs(ROUTES) do
    if timed(route) then
      local total = 0
      for _, bound in ipairs(BUCKETS) do
        total = total + stored(bucket[route][bound])
        sample(bucket[route][bound], total)
      end
      sample(by_route[DURATION .. "_sum"][route], stored(by_route[DURATION .. "_sum"][route]))
      sample(by_route[DURATION .. "_count"][route], total)
    end
  end

  local function counters(name, help)
    family(name, "counter", help)
    for _, route in ipairs(ROUTES) do
      sample(by_route[name][route], stored(by_route[name][route]))
    end
  end
  counters(SIZE, "Bytes sent to clients, headers included.")
  counters(UPSTREAM_ERRORS, "Requests that nobody answered behind web, or not in time.")

  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.say(table.concat(lines, "\n"))
end

return M
