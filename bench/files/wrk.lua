-- For wrk: connects to ADDRESS and PORT, wherever the URL's name leads, and prints JSON at its end.

function wrk.resolve()
  wrk.addrs = wrk.lookup(os.getenv("ADDRESS"), os.getenv("PORT"))
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
