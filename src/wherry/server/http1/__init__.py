"""HTTP/1 on asyncio: parsed by httptools, spoken in both directions at once, as ASGI.

uvicorn's protocol was read first, and its websockets are used. It cannot tell that a client has
left while its body is not read, sends chunks to HTTP/1.0 clients, and has no limit on the time
and size of headers (0.54).
"""
