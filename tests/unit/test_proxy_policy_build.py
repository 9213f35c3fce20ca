"""Classic builds: the query, the Dockerfile and the context, each written anew (2.6)."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from wherry.errors import UsageError
from wherry.proxy.policy import build, commits, dockerfile, toml
from wherry.proxy.policy.build import Build
from wherry.proxy.policy.check import explain
from wherry.proxy.policy.model import (
    CopyIn,
    Denied,
    Found,
    HostPath,
    Policy,
    Ports,
    Profile,
    TenantView,
)
from wherry.proxy.policy.routing import parse_query

POLICY = Policy(Profile.CI)
TENANT = TenantView("ten", POLICY, network="9" * 64, cgroup_parent="/wherry/ten")
IDS = {"busybox": "sha256:" + "3" * 64, "alpine:3": "sha256:" + "4" * 64}


def rewritten(text: str) -> str:
    found = dockerfile.parse(text.encode(), POLICY)
    for named in dockerfile.references(found):
        assert named.text in IDS
    return dockerfile.write(found, IDS, marks={}).decode()


def test_every_image_is_named_by_its_full_id() -> None:
    text = "FROM busybox AS b\nCOPY --from=alpine:3 /a /b\nFROM b\nCOPY --chown=1 --from=0 /a /b\n"
    assert rewritten(text) == (
        f"FROM {IDS['busybox']} AS b\nCOPY --from={IDS['alpine:3']} /a /b\nFROM b\n"
        "COPY --chown=1 --from=0 /a /b\n"
    )


def test_a_stage_that_is_being_built_is_no_stage_to_copy_from() -> None:
    """The engine would look for an image of that name, whosever it is."""
    text = b"FROM busybox AS victim\nCOPY --from=victim /secret /x\n"
    found = dockerfile.parse(text, POLICY)
    assert [named.text for named in dockerfile.references(found)] == ["busybox", "victim"]
    text = b"FROM busybox AS One\nFROM one\nCOPY --from=ONE /a /b\nCOPY --from=1 /a /b\n"
    found = dockerfile.parse(text, POLICY)
    assert found[2].text == "COPY --from=0 /a /b"
    assert found[3].image == "1"


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(Denied, match="two stages"):
        dockerfile.parse(b"FROM busybox AS a\nFROM busybox AS A\n", POLICY)


def test_lines_are_joined_as_the_builder_joins_them() -> None:
    text = "\ufeffFRO\\\nM busy\\\n# a comment\n\nbox\r\nRUN a && \\\n    b\n"
    assert rewritten(text) == f"FROM {IDS['busybox']}\nRUN a &&     b\n"


def test_every_stage_of_a_build_is_marked_before_its_first_step() -> None:
    text = b"ARG X\nFROM busybox AS one\nRUN a\nFROM scratch\nCOPY --from=one /a /a\n"
    found = dockerfile.parse(text, Policy())
    marks = {"wherry.proxy.tenant": "ci"}
    lines = dockerfile.write(found, IDS, marks=marks).decode().splitlines()
    mark = 'LABEL "wherry.proxy.tenant"="ci"'
    assert [line for line in lines if line.startswith(("FROM", "LABEL", "RUN", "COPY"))] == [
        f"FROM {IDS['busybox']} AS one", mark, "RUN a", "FROM scratch", mark,
        "COPY --from=0 /a /a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=evil/x\nFROM busybox", "#syntax = x\nFROM busybox", "# escape=`\nFROM busybox",
        "ARG X\nFROM $X", "FROM ${X:-victim}", "FROM busybox\nONBUILD COPY --from=victim / /",
        "FROM busybox\nADD http://127.0.0.1:9/x /", "FROM busybox\nADD $U /",
        "FROM busybox\nADD git@x:y /", "FROM busybox\nRUN --mount=type=bind,from=victim x",
        "FROM busybox\nCOPY --from=$X / /", 'FROM busybox\nCOPY --fr"om"=victim / /',
        "FROM busybox\nCOPY --link a b", "FROM busybox\nRUN <<EOF\nEOF",
        "FROM busybox\nWORKDIR /proc/self/fd/8", "FROM busybox\nWORKDIR $X",
        "FROM busybox\nWORKDIR ../proc", "FROM busybox\nLABEL wherry.proxy.tenant=x",
        'FROM busybox\nLABEL "traefik.enable"=true', "FROM busybox\nEVIL x", "RUN x", "", "FROM",
        "FROM busybox extra", "FROM busybox\n\u00a0RUN x", "FROM busybox\nRUN a\0b",
        "FROM busybox\nRUN a\rFROM victim",
        "FROM busybox\nHEALTHCHECK --interval=1ms CMD x",
    ],
)  # fmt: skip
def test_a_dockerfile_that_cannot_be_checked_is_refused(text: str) -> None:
    with pytest.raises(Denied, match=r"Dockerfile|image|WORKDIR"):
        dockerfile.parse(text.encode(), POLICY)


Member = tuple[str, bytes | str, bytes]
"""Name, content or target of a link, type."""


def tar(*members: Member) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, kind in members:
            header = tarfile.TarInfo(name)
            header.type = kind
            if isinstance(content, str):
                header.linkname = content
            else:
                header.size = len(content)
            archive.addfile(header, io.BytesIO(content) if isinstance(content, bytes) else None)
    data.seek(0)
    return data


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD: Member = ("./Dockerfile", b"FROM busybox\n", FILE)


def test_a_context_is_written_anew_with_one_dockerfile_at_its_end() -> None:
    source = tar(GOOD, ("a/b", b"content", FILE), ("l", "a/b", LINK))
    context = build.read_context(source, Build(), policy=POLICY)
    assert [named.text for named in context.references] == ["busybox"]
    sink = io.BytesIO()
    build.write_context(source, sink, context=context, ids=IDS)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as new:
        assert new.getnames() == ["a/b", "l", "Dockerfile"]
        last = new.extractfile("Dockerfile")
        assert last
        assert last.read().decode() == f"FROM {IDS['busybox']}\n"


def test_a_dockerfile_in_small_letters_stands_in() -> None:
    source = tar(("dockerfile", b"FROM busybox\n", FILE))
    assert build.read_context(source, Build(), policy=POLICY).name == "dockerfile"


@pytest.mark.parametrize(
    "members",
    [
        (GOOD, GOOD), (GOOD, ("Dockerfile", b"FROM victim\n", FILE)),
        (("Dockerfile", "x", LINK), ("x", b"FROM victim", FILE)),
        (("x", b"FROM victim", FILE), ("Dockerfile", "x", HARD)),
        (GOOD, ("d", ".", LINK), ("d/Dockerfile", b"FROM victim\n", FILE)),
        (GOOD, ("../x", b"", FILE)), (GOOD, ("x", b"", tarfile.CHRTYPE)), (),
        (("Dockerfile/x", b"", FILE),), (GOOD, ("y", "../../etc", HARD)),
    ],
)  # fmt: skip
def test_a_context_that_could_mislead_is_refused(members: tuple[Member, ...]) -> None:
    with pytest.raises(Denied):
        build.read_context(tar(*members), Build(), policy=POLICY)


def test_a_dockerfile_below_a_link_is_refused() -> None:
    source = tar(("d/Dockerfile", b"FROM busybox\n", FILE), ("d", "/", LINK))
    with pytest.raises(Denied):
        build.read_context(source, Build(dockerfile="d/Dockerfile"), policy=POLICY)


@pytest.mark.parametrize("start", [b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"x"])
def test_only_an_uncompressed_tar_is_a_context_or_an_archive(start: bytes) -> None:
    with pytest.raises(Denied):
        build.check_plain_tar(start.ljust(512, b"x"), field="context")
    build.check_plain_tar(tar(GOOD).read(512), field="context")


def test_what_is_forced_upon_a_build() -> None:
    query = (
        "t=app:1&t=b&memory=99999999999&networkmode=&rm=0&forcerm=0&q=1&buildargs={%22A%22:null}"
    )
    out = build.parse(parse_query(query), TENANT).query(TENANT, owner={"x": "y"})
    assert out["t"] == ("ten.wherry.invalid/docker.io/library/app:1",
                        "ten.wherry.invalid/docker.io/library/b:latest")  # fmt: skip
    assert (out["rm"], out["forcerm"], out["version"], out["q"]) == ("1", "1", "1", "1")
    assert out["memory"] == out["memswap"] == str(POLICY.limits.memory)
    assert (out["networkmode"], out["cgroupparent"]) == ("9" * 64, "/wherry/ten")
    assert json.loads(str(out["labels"])) == {"x": "y", "wherry.proxy.tenant": "ten"}


def test_a_commit_is_made_anew() -> None:
    query = parse_query("container=web&repo=app&tag=1&changes=env%20A=b&comment=x&pause=0")
    found = commits.parse(query, b"null", tenant=TENANT)
    out = found.query(Found(containers={"web": "1" * 64}))
    assert out == {"container": "1" * 64, "comment": "x", "pause": "0", "tag": "1",
                   "repo": "ten.wherry.invalid/docker.io/library/app",
                   "changes": ("ENV A=b",)}  # fmt: skip
    assert found.render(TENANT) == {"Labels": {"wherry.proxy.tenant": "ten"}}


def test_a_policy_file_says_all_of_it() -> None:
    text = """
profile = "ci"
images = ["busybox:*"]
pull = ["ghcr.io/me/*"]
copy_in = "stopped"
host_paths = ["/srv/data", "/srv/out:rw"]
ports = "127.0.0.2:8000-8999"
capabilities = ["CAP_NET_ADMIN"]
[limits]
containers = 3
memory = "1g"
cpus = 1.5
lifetime = "1h"
"""
    found = toml.parse_policy(text)
    assert (found.profile, found.copy_in) == (Profile.CI, CopyIn.STOPPED)
    assert found.host_paths == (HostPath("/srv/data"), HostPath("/srv/out", writable=True))
    assert found.ports == Ports(8000, 8999, "127.0.0.2")
    assert found.capabilities == {"NET_ADMIN"}
    assert (found.limits.memory, found.limits.lifetime) == (2**30, 3600.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('profil = "ci"', "did you mean 'profile'"), ('profile = "x"', "children, ci, readonly"),
        ("build = 1", "true or false"), ("[limits]\nmemori = 1", "did you mean 'memory'"),
        ('[limits]\nmemory = "x"', "limits.memory"), ("[limits]\npids = 0", "unlimited"),
        ('host_paths = ["srv"]', "directory"), ('host_paths = ["/"]', "directory"),
        ('host_paths = ["/srv/../etc"]', "written as '/etc'"), ('ports = "22"', "1024"),
        ('host_paths = ["/a/b", "/a:rw"]', "'/a/b' is in '/a'"),
        ('host_paths = ["/a:rw", "/a/b:rw"]', "'/a/b' is in '/a'"),
        ('host_paths = ["/a", "/a:rw"]', "'/a' must be there once"),
        ('capabilities = ["ALL"]', "NET_ADMIN"), ('sysctls = ["kernel.x"]', "net."),
        ('pull = ["a b"]', "pattern"), ("limits = 3", "table"), ("x", "policy"),
        ("[limits]\ntmpfs = 0", "unlimited"),
        ("[limits]\ncpus = nan", "cores"),  ("[limits]\ncontainers = -1", "0 or more"),
    ],
)  # fmt: skip
def test_a_wrong_policy_file_is_told_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        toml.parse_policy(text)


def test_a_verdict_is_explained_without_an_engine() -> None:
    good, bad = explain(
        Policy(),
        ["GET /v1.41/containers/web/json",
         'POST /containers/create {"Image":"x","HostConfig":{"Privileged":true}}'],
    )  # fmt: skip
    assert "must be yours: container 'web'" in good.text
    assert bad.text.startswith("refused (403, 2.3 Privileged): HostConfig.Privileged: ")
    with pytest.raises(UsageError):
        explain(Policy(), ["hello"])
