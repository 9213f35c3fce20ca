"""The HTTP/1.1 side that clients speak to: strict, framed, one request at a time."""

from wherry.proxy.front.exchange import Exchange, Handler
from wherry.proxy.front.front import Front
from wherry.proxy.front.listening import Listener, listen_tls, listen_unix
from wherry.proxy.front.patience import Patience
from wherry.proxy.front.problems import BodyTooLarge, ClientLeft, Refusal
from wherry.proxy.front.request import Body, Peer, Request

__all__ = [
    "Body",
    "BodyTooLarge",
    "ClientLeft",
    "Exchange",
    "Front",
    "Handler",
    "Listener",
    "Patience",
    "Peer",
    "Refusal",
    "Request",
    "listen_tls",
    "listen_unix",
]
