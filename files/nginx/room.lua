-- Sets disk aside for what waits there: uploads until they are whole, and models until a slow client has taken them.
-- A pod whose disk is full is evicted, with all of its connections.

-- Of all requests, and of each client. When it is full, it forgets the clients that have been gone for the longest time.
local held = ngx.shared.room

-- Requests under way in this worker process that have room, by their connection: it has one at a time, and stays the same
-- when an error page makes a request's variables anew, its id among them.
local requests = {}

local M = {}

-- All that there is, in bytes. One client may have a quarter.
function M.init(bytes)
  M.bytes = bytes
end

local function add(bytes, client)
  local all = held:incr("all", bytes, 0)
  return all, client ~= "" and held:incr(client, bytes, 0) or 0
end

-- Takes room for a request, or ends it: with 429 if its client has too much of it, and with 503 if everybody has.
function M.take(bytes)
  local client = ngx.var.limit_key
  local all, own = add(bytes, client)
  if own > M.bytes / 4 or all > M.bytes then
    add(-bytes, client)
    return ngx.exit(own > M.bytes / 4 and 429 or 503)
  end
  requests[ngx.var.connection] = { bytes = bytes, client = client }
end

-- Takes room for the body of a request: as much as it says, or the most that one may be if it does not say.
function M.take_body(most)
  local length = tonumber(ngx.var.http_content_length)
  if length or ngx.var.http_transfer_encoding then
    M.take(length or most)
  end
end

-- Once for each request, at its end.
function M.give_back()
  local request = requests[ngx.var.connection]
  if request then
    requests[ngx.var.connection] = nil
    add(-request.bytes, request.client)
  end
end

return M
