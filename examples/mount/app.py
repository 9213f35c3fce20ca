"""Two containers in an application of Starlette's; run it with ``uvicorn app:app``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import wherry
from wherry import AsyncClient

GREET = 'printf "Content-Type: text/plain\\n\\n"; echo "hello, $QUERY_STRING, from $SCRIPT_NAME"'
client = AsyncClient.from_env()
upper = wherry.asgi(client.function("my/tools", ["tr", "a-z", "A-Z"], timeout="10s"))
greet = wherry.asgi(client.function("my/tools", ["sh", "-c", GREET]), cgi=True)


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("not a container\n")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with client:
        yield


app = Starlette(
    routes=[Route("/", home), Mount("/upper", app=upper), Mount("/greet", app=greet)],
    lifespan=lifespan,
)
