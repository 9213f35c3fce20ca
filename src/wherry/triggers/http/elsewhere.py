"""Operations that stand in the OpenAPI document and have routes of their own."""

from __future__ import annotations

from wherry.triggers.http.operations import TEXT, Operation, Reply

_CALL = {
    "X-Call-Id": "Id of the call: the caller's own, or a new one.",
    "X-Start-Time": "When it began, in Unix nanoseconds.",
    "X-Duration-Seconds": "How long it took.",
}
_ENDED = {**_CALL, "X-Exit-Code": "The program's exit code.", "X-Exit-Reason": "What ended it."}
_BYTES = "*/*"

_CALLED = {
    200: Reply(text="What the program wrote to stdout; its exit code is 0.",
               media=_BYTES, headers=_CALL),
    400: Reply(text="A name, `X-Timeout` or `X-Call-Id` cannot be read."),
    401: Reply(text="The function asks for a token, and none was shown."),
    403: Reply(text="The token is for other functions, or a page of another site asks."),
    404: Reply(text="There is no such function."),
    413: Reply(text="The body is larger than the function takes."),
    429: Reply(text="As many calls of the function run as may, or this client asks too often.",
               headers={"Retry-After": "Seconds"}),
    500: Reply(text="The program failed; the body is what it wrote until then.",
               media=_BYTES, headers=_ENDED),
    502: Reply(text="The container could not be started; the line says why."),
    503: Reply(text="There was no room in time.", headers={"Retry-After": "Seconds"}),
    504: Reply(text="The call was ended by its timeout; the line says whose it was."),
}  # fmt: skip

ELSEWHERE = (
    *(
        Operation(
            method=method, path="/function/{name}", name=f"callBy{method.title()}",
            summary="Call a function", raw=method != "GET", replies=_CALLED,
            text="The body streams into the program's stdin, and its stdout into the answer, "
            "both at once. Any method will do, and any path below the name.",
        )
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
    Operation(
        method="POST", path="/async-function/{name}", name="queueCall", raw=True,
        summary="Queue a call, to be made when there is room",
        text="It is on disk before the answer is sent. With `X-Callback-Url` its result is "
        "posted there.",
        replies={
            202: Reply(text="It is queued.", media="", headers={
                "X-Call-Id": "Id of the call.", "X-Start-Time": "Now, in Unix nanoseconds.",
            }),
            409: Reply(text="There is a queued call of this `X-Call-Id`."),
            503: Reply(text="The queue is full.", headers={"Retry-After": "Seconds"}),
            **{status: _CALLED[status] for status in (400, 401, 403, 404, 413, 429)},
        },
    ),
    Operation(
        method="GET", path="/metrics", name="metrics", summary="Numbers for Prometheus",
        needs="read", replies={200: Reply(text="The numbers.", media=TEXT)},
    ),
)  # fmt: skip
"""With no work: they are answered by :mod:`wherry.triggers.http.invoke` and its neighbours."""
