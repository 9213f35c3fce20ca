"""Pulling from registries that do what a real one on this machine never does."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import BasicAuth, encode_basic_auth, web
from tests.support.fake_registry import FakeRegistry, fake_registry
from tests.support.oci_layout import OCI, build_image, build_index, digest_of, noise
from tests.support.registry_certificate import certificate
from tests.support.registry_proxy import serving

from wherry.errors import (
    AuthenticationRequired,
    ImageCorrupt,
    ImageError,
    ImageNotFound,
    RegistryError,
    WherryError,
)
from wherry.images.credentials import Credentials, CredentialSource, FixedCredentials
from wherry.images.login import login
from wherry.images.pull import pull
from wherry.images.reference import Reference
from wherry.images.retries import Retries
from wherry.images.store import ImageStore
from wherry.images.transport import Wire

if TYPE_CHECKING:
    from wherry.images.model import Image

MANIFEST = f"{OCI}.manifest.v1+json"
ME = Credentials("me", "s3cret")
IMAGE = build_image({"hello": b"hi"}, busybox=False)
BIG = build_image({"big": noise(2 << 20)}, busybox=False)


class Waits:
    """Stands in for the clock: remembers the pauses, and does not make them."""

    def __init__(self) -> None:
        self.made: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.made.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def wire(waits: Waits) -> Wire:
    return Wire(retries=Retries(sleep=waits, jitter=lambda: 1.0))


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHERRY_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with fake_registry() as served:
        served.add(IMAGE)
        yield served


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


async def fetch(
    store: ImageStore,
    registry: FakeRegistry,
    wire: Wire,
    *,
    tag: str = "latest",
    credentials: CredentialSource | None = None,
) -> Image:
    reference = Reference.parse(f"{registry.host}/any{'@' if ':' in tag else ':'}{tag}")
    return await pull(store, reference, wire=wire, credentials=credentials)


def changed(**fields: Any) -> bytes:
    """Return the manifest of the image with other fields."""
    return json.dumps(json.loads(IMAGE.manifest) | fields).encode()


def with_layer(**fields: Any) -> bytes:
    layer = json.loads(IMAGE.manifest)["layers"][0] | fields
    return changed(layers=[layer])


async def test_a_stated_digest_that_is_not_the_manifest_s_is_an_error(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    registry.stated_digest = "sha256:" + "0" * 64
    with pytest.raises(ImageCorrupt, match=f"should be {registry.stated_digest} but is"):
        await fetch(store, registry, wire)


async def test_a_manifest_that_is_not_its_digest_is_refused(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    wanted = digest_of(b"something else")
    registry.manifests[wanted] = (IMAGE.manifest, MANIFEST)
    with pytest.raises(ImageCorrupt, match=wanted):
        await fetch(store, registry, wire, tag=wanted)


@pytest.mark.parametrize("wrong", ["size", "digest"])
async def test_a_child_manifest_is_compared_with_what_its_index_says(
    registry: FakeRegistry, store: ImageStore, wire: Wire, wrong: str
) -> None:
    entry = IMAGE.descriptor()
    if wrong == "size":
        entry |= {"size": len(IMAGE.manifest) + 1}
    else:
        entry |= {"digest": digest_of(b"x")}
        registry.manifests[digest_of(b"x")] = (IMAGE.manifest, MANIFEST)
    registry.add_manifest(build_index([entry]), f"{OCI}.index.v1+json", "index")
    with pytest.raises(ImageCorrupt, match="should"):
        await fetch(store, registry, wire, tag="index")


async def test_a_manifest_is_read_no_further_than_four_mebibytes(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    registry.add_manifest(changed(annotations={"x": "y" * (4 << 20)}), MANIFEST, "huge")
    with pytest.raises(ImageCorrupt, match="more than 4194304 bytes"):
        await fetch(store, registry, wire, tag="huge")


@pytest.mark.parametrize(
    ("manifest", "media_type", "error", "words"),
    [
        (
            json.dumps({"schemaVersion": 1, "name": "any", "fsLayers": []}).encode(),
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            ImageError,
            "schema 1",
        ),
        (changed(manifests=[]), MANIFEST, ImageCorrupt, "could be an index as well"),
        (IMAGE.manifest, f"{OCI}.index.v1+json", ImageCorrupt, "was sent as"),
        (b"<html>", MANIFEST, ImageCorrupt, "no JSON"),
        (b"[]", MANIFEST, ImageCorrupt, "no JSON object"),
        (b"{}", "text/html; charset=utf-8", ImageError, "not a container image but 'text/html'"),
        (
            changed(config={"mediaType": "application/vnd.cncf.helm.config.v1+json"}
                    | {"digest": IMAGE.config, "size": 3}),
            MANIFEST,
            ImageError,
            "vnd.cncf.helm",
        ),
        (with_layer(mediaType=f"{OCI}.layer.nondistributable.v1.tar"), MANIFEST, ImageError,
         "foreign layer"),
        (with_layer(urls=["https://elsewhere.example/x"]), MANIFEST, ImageError, "foreign layer"),
        (with_layer(mediaType="application/x-xz"), MANIFEST, ImageError, "'application/x-xz'"),
        (with_layer(digest="sha256:../../etc/passwd"), MANIFEST, ImageCorrupt, "digest"),
        (with_layer(digest="md5:" + "0" * 32), MANIFEST, ImageCorrupt, "digest"),
        (with_layer(size=-1), MANIFEST, ImageCorrupt, "size"),
    ],
    ids=["schema-1", "ambiguous", "two-types", "html", "list", "page", "helm", "foreign", "urls",
         "xz", "path", "md5", "negative"],
)  # fmt: skip
async def test_what_is_no_image_we_can_have_is_refused_by_name(
    registry: FakeRegistry,
    store: ImageStore,
    wire: Wire,
    manifest: bytes,
    media_type: str,
    error: type[WherryError],
    words: str,
) -> None:
    registry.add_manifest(manifest, media_type, "odd")
    with pytest.raises(error) as caught:
        await fetch(store, registry, wire, tag="odd")
    assert words in str(caught.value)
    assert store.list() == []


async def test_a_manifest_of_docker_s_schema_2_is_an_image(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    docker = "application/vnd.docker"
    table = json.loads(IMAGE.manifest) | {"mediaType": f"{docker}.distribution.manifest.v2+json"}
    table["config"]["mediaType"] = f"{docker}.container.image.v1+json"
    table["layers"][0]["mediaType"] = f"{docker}.image.rootfs.diff.tar.gzip"
    registry.add_manifest(json.dumps(table).encode(), table["mediaType"], "docker")
    assert (await fetch(store, registry, wire, tag="docker")).id == IMAGE.config


async def test_a_busy_registry_is_asked_again_when_it_says(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    answers = [
        web.Response(status=429, headers={"Retry-After": "7"}),
        web.Response(status=503),
        web.Response(status=502),
    ]

    async def hook(request: web.BaseRequest) -> web.Response | None:
        return answers.pop(0) if "/manifests/" in request.path and answers else None

    registry.hook = hook
    await fetch(store, registry, wire)
    assert waits.made == [7.0, 1.0, 2.0]


async def test_a_registry_that_stays_broken_is_given_up_with_its_own_words(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        body = {"errors": [{"code": "TOOMANYREQUESTS", "message": "come\x1b[31m back later"}]}
        return web.json_response(body, status=429) if "/manifests/" in request.path else None

    registry.hook = hook
    with pytest.raises(RegistryError) as caught:
        await fetch(store, registry, wire)
    assert "429 Too Many Requests" in str(caught.value)
    assert "TOOMANYREQUESTS: come[31m back later" in str(caught.value)
    assert len(registry.paths("/manifests/")) == wire.retries.attempts
    assert waits.made == [0.5, 1.0, 2.0, 4.0]


async def test_a_registry_that_wants_an_hour_is_given_up_at_once(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        return web.Response(status=429, headers={"Retry-After": "3600"})

    registry.hook = hook
    with pytest.raises(RegistryError, match="429"):
        await fetch(store, registry, wire)
    assert waits.made == []


async def test_a_blob_that_is_cut_again_and_again_is_resumed_every_time(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    registry.add(BIG, "big")
    layer = BIG.layers[0]
    size = len(BIG.blobs[layer])

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        if not request.path.endswith(layer):
            return None
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        response.content_length = size - start
        await response.prepare(request)
        await response.write(BIG.blobs[layer][start : start + 200_000])
        assert request.transport
        request.transport.close()
        return response

    registry.hook = hook
    await fetch(store, registry, wire, tag="big")
    ranges = [asked.range for asked in registry.paths(layer)]
    assert len(ranges) == len(set(ranges)) == -(-size // 200_000)
    assert set(waits.made) == {0.5}, "progress starts the count of attempts again"


async def test_a_registry_without_ranges_sends_the_blob_from_its_start(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    registry.add(BIG, "big")
    registry.ranges = False
    layer = BIG.layers[0]
    cut = True

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal cut
        if not request.path.endswith(layer) or not cut:
            return None
        cut = False
        response = web.StreamResponse()
        response.content_length = len(BIG.blobs[layer])
        await response.prepare(request)
        await response.write(BIG.blobs[layer][:500_000])
        assert request.transport
        request.transport.close()
        return response

    registry.hook = hook
    pulled = await fetch(store, registry, wire, tag="big")
    assert [asked.range for asked in registry.paths(layer)] == [None, "bytes=500000-"]
    assert (pulled.rootfs / "big").stat().st_size == 2 << 20


async def test_a_blob_longer_than_it_may_be_is_cut_off_early(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    layer = IMAGE.layers[0]
    sent = 0

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal sent
        if not request.path.endswith(layer):
            return None
        response = web.StreamResponse()  # chunked: nobody knows how long it will be
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(65536))
                sent += 65536
        except ConnectionError:
            return response

    registry.hook = hook
    with pytest.raises(ImageCorrupt, match=layer):
        await fetch(store, registry, wire)
    assert sent < 64 << 20
    assert not store.blobs.has(layer)


async def test_a_missing_blob_names_the_blob(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    del registry.blobs[IMAGE.layers[0]]
    with pytest.raises(ImageCorrupt, match=f"has no blob {IMAGE.layers[0]}"):
        await fetch(store, registry, wire)


async def test_a_registry_that_falls_silent_is_left_after_the_read_timeout(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        if "/blobs/" not in request.path:
            return None
        response = web.StreamResponse()
        response.content_length = len(IMAGE.blobs[request.path.rpartition("/")[2]])
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    registry.hook = hook
    begun = time.monotonic()
    with pytest.raises(RegistryError, match="did not answer in time"):
        await fetch(store, registry, replace(wire, read_timeout=0.05))
    assert time.monotonic() - begun < 5


def token_service(
    registry: FakeRegistry, *, wanted: str | None, life: int = 300
) -> list[tuple[str, str]]:
    """Make a registry want tokens of a service of its own; returns the realm requests it saw."""
    given: list[tuple[str, str]] = []

    async def hook(request: web.BaseRequest) -> web.Response | None:
        if request.path == "/token":
            given.append((request.method, request.headers.get("Authorization", "")))
            if wanted and request.headers.get("Authorization") != wanted:
                return web.json_response({"details": "no"}, status=401)
            return web.json_response({"token": f"t{len(given)}", "expires_in": life})
        if request.headers.get("Authorization") == f"Bearer t{len(given)}" and given:
            return None
        challenge = f'Bearer realm="http://{registry.host}/token",service="fake, \\"quoted\\""'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    registry.hook = hook
    return given


async def test_an_anonymous_token_is_fetched_once_for_the_repository(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    given = token_service(registry, wanted=None)
    await fetch(store, registry, wire)
    assert given == [("GET", "")]
    (asked,) = registry.paths("/token")
    assert asked.query == {"service": 'fake, "quoted"', "scope": "repository:any:pull"}
    assert {asked.authorization for asked in registry.paths("/blobs/")} == {"Bearer t1"}


async def test_a_password_goes_to_the_token_service_and_nowhere_else(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    basic = encode_basic_auth("me", "s3cret")
    given = token_service(registry, wanted=basic)
    await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    assert given == [("GET", basic)]
    rest = [asked for asked in registry.asked if asked.path != "/token"]
    assert all(asked.authorization != basic for asked in rest)


async def test_a_password_that_the_token_service_refuses_is_told(
    registry: FakeRegistry, store: ImageStore, wire: Wire, tmp_path: Path
) -> None:
    token_service(registry, wanted="Basic other")
    with pytest.raises(AuthenticationRequired, match="does not accept the credentials of 'me'"):
        await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    with pytest.raises(AuthenticationRequired):
        await login(registry.host, ME, file=tmp_path / "auth.json", wire=wire)
    assert not (tmp_path / "auth.json").exists()


async def test_logging_in_works_with_a_token_service(
    registry: FakeRegistry, tmp_path: Path, wire: Wire
) -> None:
    token_service(registry, wanted=encode_basic_auth("me", "s3cret"))
    await login(registry.host, ME, file=tmp_path / "auth.json", wire=wire)
    stored = json.loads((tmp_path / "auth.json").read_text())["auths"][registry.host]["auth"]
    assert BasicAuth.decode(f"Basic {stored}").login == "me"


async def test_nobody_s_token_refused_means_not_there_or_log_in(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    token_service(registry, wanted="Basic other")
    with pytest.raises(ImageNotFound, match="check the name or run `wherry login"):
        await fetch(store, registry, wire)


async def test_an_identity_token_is_exchanged_by_post(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    given = token_service(registry, wanted=None)
    identity = Credentials("", "refresh-me", "identity")
    await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, identity))
    assert given == [("POST", "")]
    (asked,) = registry.paths("/token")
    assert asked.form == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-me",
        "service": 'fake, "quoted"',
        "scope": "repository:any:pull",
        "client_id": "wherry",
    }


async def test_a_token_that_ended_early_is_renewed_once_for_everybody(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    given = token_service(registry, wanted=None)
    issue = registry.hook
    assert issue
    refused = False

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal refused
        if "/blobs/" in request.path and not refused:
            refused = True
            challenge = (
                f'Bearer realm="http://{registry.host}/token",scope="repository:any:pull,more"'
            )
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if "/blobs/" in request.path:
            return None
        return await issue(request)

    registry.hook = hook
    await fetch(store, registry, wire)
    assert len(given) == 2
    assert registry.paths("/token")[1].query["scope"] == "repository:any:pull,more"


async def test_a_token_refused_twice_is_not_there_for_us(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    issue = token_service(registry, wanted=None)

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        if request.path == "/token":
            issue.append(("GET", ""))
            return web.json_response({"access_token": "useless"})
        challenge = f'Bearer realm="http://{registry.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    registry.hook = hook
    with pytest.raises(ImageNotFound, match="is not on"):
        await fetch(store, registry, wire)
    assert len(issue) == 2


async def test_an_unknown_scheme_of_authentication_is_named(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        return web.Response(status=401, headers={"WWW-Authenticate": "Negotiate"})

    registry.hook = hook
    with pytest.raises(RegistryError, match="'Negotiate'"):
        await fetch(store, registry, wire)


async def test_a_redirect_elsewhere_does_not_carry_our_authorization(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    basic = encode_basic_auth("me", "s3cret")
    elsewhere: list[tuple[str, str | None, str | None]] = []

    async def storage(request: web.BaseRequest) -> web.Response:
        headers = request.headers
        elsewhere.append((request.path_qs, headers.get("Authorization"), headers.get("Cookie")))
        return web.Response(body=IMAGE.blobs[request.path[1:]])

    async with serving(storage) as other:

        async def hook(request: web.BaseRequest) -> web.Response | None:
            if request.headers.get("Authorization") != basic:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if "/blobs/" not in request.path:
                return None
            location = f"http://{other}/{request.path.rpartition('/')[2]}?sig=a%2Fb+c"
            headers = {"Location": location, "Set-Cookie": "session=1"}
            return web.Response(status=307, headers=headers)

        registry.hook = hook
        await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    assert len(elsewhere) == 2
    assert all(path.endswith("?sig=a%2Fb+c") for path, _, _ in elsewhere)
    assert [(authorization, cookie) for _, authorization, cookie in elsewhere] == [(None, None)] * 2


async def test_a_redirect_on_the_same_host_keeps_our_authorization(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    basic = encode_basic_auth("me", "s3cret")

    async def hook(request: web.BaseRequest) -> web.Response | None:
        if request.headers.get("Authorization") != basic:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        if "/blobs/" in request.path:
            return web.Response(status=302, headers={"Location": f"/kept{request.path}"})
        return None

    async def kept(request: web.BaseRequest) -> web.Response | None:
        if request.path.startswith("/kept"):
            assert request.headers.get("Authorization") == basic
            return web.Response(body=IMAGE.blobs[request.path.rpartition("/")[2]])
        return await hook(request)

    registry.hook = kept
    await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    assert len(registry.paths("/kept")) == 2


async def test_an_endless_redirect_ends(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        if "/blobs/" in request.path:
            return web.Response(status=307, headers={"Location": request.path})
        return None

    registry.hook = hook
    with pytest.raises(RegistryError, match="redirected more than 5 times"):
        await fetch(store, registry, wire)


@pytest.mark.parametrize("location", ["http://192.0.2.1/blob", "file:///etc/passwd", "ftp://x/y"])
async def test_a_redirect_to_plain_http_or_stranger_things_is_refused(
    registry: FakeRegistry, store: ImageStore, wire: Wire, location: str
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        if "/blobs/" in request.path:
            return web.Response(status=307, headers={"Location": location})
        return None

    registry.hook = hook
    with pytest.raises(RegistryError, match=r"plain HTTP|no https URL"):
        await fetch(store, registry, wire)


async def test_an_answer_that_is_no_registry_s_is_told(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        return web.Response(status=404, text="<html>nginx</html>", content_type="text/html")

    registry.hook = hook
    with pytest.raises(RegistryError, match="is not an image registry"):
        await fetch(store, registry, wire)


async def test_tls_is_verified_against_the_ca_of_the_host(
    store: ImageStore, wire: Wire, tmp_path: Path
) -> None:
    ca, key = certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)
    async with fake_registry(ssl_context=context) as registry:
        registry.add(IMAGE)
        with pytest.raises(RegistryError, match=r"not trusted .*certs\.d/127\.0\.0\.1:\d+/ca\.crt"):
            await fetch(store, registry, wire)
        assert registry.asked == []
        place = tmp_path / "certs.d" / registry.host / "ca.crt"
        place.parent.mkdir(parents=True)
        place.write_bytes(ca.read_bytes())
        trusting = replace(wire, certificates=(tmp_path / "certs.d",))
        assert (await fetch(store, registry, trusting)).digest == IMAGE.digest


async def test_tls_is_verified_against_the_ca_of_the_environment(
    store: ImageStore, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, key = certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    async with fake_registry(ssl_context=context) as registry:
        registry.add(IMAGE)
        assert (await fetch(store, registry, wire)).digest == IMAGE.digest


async def test_the_proxy_of_the_environment_is_used_with_its_password(
    registry: FakeRegistry,
    store: ImageStore,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        password = request.headers.get("Proxy-Authorization")
        seen.append((request.method, request.headers["Host"], password))
        if request.method == "CONNECT":
            return web.Response(status=405)
        return await registry.handle(request)

    async with serving(forward) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@{proxy}")
        monkeypatch.setenv("https_proxy", f"http://user:p%40ss@{proxy}")
        name = Reference.parse("registry.example:5000/any")
        insecure = ["registry.example:5000"]
        assert await pull(store, name, insecure=insecure, wire=wire)
    assert seen[0][0] == "CONNECT", "TLS is tried first"
    assert {(host, password) for _, host, password in seen} == {
        ("registry.example:5000", encode_basic_auth("user", "p@ss"))
    }


async def test_plain_http_with_a_registry_elsewhere_must_be_asked_for(
    store: ImageStore, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods: list[str] = []

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        methods.append(request.method)
        return web.Response(status=405)

    async with serving(forward) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        monkeypatch.setenv("https_proxy", f"http://{proxy}")
        with pytest.raises(RegistryError, match=r"proxy refused registry\.example"):
            await pull(store, Reference.parse("registry.example/any"), wire=wire)
    assert set(methods) == {"CONNECT"}


async def test_a_port_that_accepts_and_says_nothing_is_left(store: ImageStore, wire: Wire) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hasty = replace(wire, connect_timeout=0.05, read_timeout=0.05)
        with pytest.raises(RegistryError, match="did not answer in time"):
            await pull(store, Reference.parse(f"127.0.0.1:{port}/any"), wire=hasty)
        assert len(writers) == 1 + wire.retries.attempts, "TLS once, then plain HTTP"
        for writer in writers:
            writer.close()
