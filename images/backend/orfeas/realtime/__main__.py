from gevent import monkey

monkey.patch_all()

from orfeas import process  # noqa: E402 - nothing may be imported before it is patched

settings = process.begin("realtime")

from orfeas.realtime import server  # noqa: E402 - its metrics open files of the process that has begun

server.serve(settings)
