-- Controllers that are reached by a node's own ports publish no address.
local status = obj.status or {}
local addresses = status.loadBalancer ~= nil and status.loadBalancer.ingress or {}
local labels = obj.metadata.labels or {}
if #addresses > 0 then
  return { status = "Healthy" }
end
if labels["app.kubernetes.io/part-of"] == "orfeas" then
  return { status = "Healthy", message = "has no address of a load balancer" }
end
return { status = "Progressing" }
