-- For wrk: rests as many milliseconds between two requests of a connection as its argument says, and prints JSON at its end.

function init(arguments)
  local rest = tonumber(arguments[1])
  if rest > 0 then
    function delay()
      return rest
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"failures":%d,"seconds":%f,"p50Milliseconds":%f,"p99Milliseconds":%f}\n',
    summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.duration / 1e6,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3
  ))
end
