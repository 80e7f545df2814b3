-- A claim of the studio is well before its first consumer binds it: consumers come in later waves.
local phase = obj.status ~= nil and obj.status.phase or "Pending"
if phase == "Bound" then
  return { status = "Healthy" }
end
if phase == "Lost" then
  return { status = "Degraded", message = "its volume is gone" }
end
local labels = obj.metadata.labels or {}
if labels["app.kubernetes.io/part-of"] == "orfeas" then
  return { status = "Healthy", message = "waits for its first consumer" }
end
return { status = "Progressing" }
