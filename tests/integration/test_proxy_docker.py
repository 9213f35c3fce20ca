"""The docker command through a scoped socket, on a real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.proxying import CLI_IMAGE, SHOWN, House, house_on, load_cli_image

from wherry.proxy.inject import TARGET, injection

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(dockerd: Dockerd) -> Iterator[Dockerd]:
    load_cli_image(dockerd)
    yield dockerd
    dockerd.request("DELETE", f"/images/{CLI_IMAGE}?force=1")


@pytest.fixture
async def house(engine: Dockerd) -> AsyncIterator[House]:
    async with house_on(engine) as house:
        yield house


async def test_a_call_has_its_stdin_stdout_and_exit_code(house: House) -> None:
    socket = await house.add("ci")
    words = ("run", "-i", "--rm", "busybox", "sh", "-c", "tr a-z A-Z; echo no >&2; exit 3")
    said = await house.docker(socket, *words, stdin="hello\n")
    assert (said.stdout, said.stderr, said.code) == ("HELLO\n", "no\n", 3)
    assert house.containers("ci") == []


async def test_a_container_is_executed_in_copied_from_followed_and_removed(house: House) -> None:
    socket = await house.add("ci", SHOWN + 'copy_in = "always"\n')
    docker = house.docker
    script = "echo ready; while :; do sleep 0.1; done"
    await docker(socket, "run", "-d", "--name", "bg", "busybox", "sh", "-c", script)
    assert (await docker(socket, "exec", "-i", "bg", "cat", stdin="in")).text == "in"
    assert (await docker(socket, "exec", "bg", "sh", "-c", "exit 7")).code == 7
    (house.directory / "given").write_text("copied")
    assert (await docker(socket, "cp", str(house.directory / "given"), "bg:/tmp/x")).code == 0
    assert (await docker(socket, "exec", "bg", "cat", "/tmp/x")).text == "copied"
    assert (await docker(socket, "cp", "bg:/tmp/x", str(house.directory / "taken"))).code == 0
    assert (house.directory / "taken").read_text() == "copied"
    assert (await docker(socket, "logs", "bg")).text == "ready\n"
    shown = json.loads((await docker(socket, "inspect", "bg")).text)[0]
    assert (shown["Name"], shown["Config"]["Image"]) == ("/bg", "busybox")
    following = asyncio.create_task(docker(socket, "logs", "-f", "bg"))
    assert (await docker(socket, "kill", "bg")).code == 0
    assert (await following).text == "ready\n"
    assert (await docker(socket, "rm", "bg")).code == 0
    assert (await docker(socket, "ps", "-aq")).text == ""


async def test_nobody_sees_or_touches_what_is_anothers(house: House) -> None:
    mine, theirs = await house.add("one"), await house.add("two")
    await house.docker(theirs, "run", "-d", "--name", "web", "-v", "data:/d", "busybox",
                       "sleep", "99")  # fmt: skip
    id_ = (await house.docker(theirs, "ps", "-q", "--no-trunc")).text.strip()
    before = house.direct("GET", f"/containers/{id_}/json")
    for name in ("web", "two.web", id_, id_[:12]):
        for words in (("inspect", name), ("rm", "-f", name), ("exec", name, "true"),
                      ("stop", name), ("logs", name), ("cp", f"{name}:/x", "-")):  # fmt: skip
            said = await house.docker(mine, *words)
            assert "No such" in said.stderr
            assert said.stdout in ("", "[]\n")
    assert (await house.docker(mine, "ps", "-aq")).text == ""
    assert (await house.docker(mine, "volume", "ls", "-q")).text == ""
    assert (await house.docker(mine, "network", "ls", "-q")).text.count("\n") <= 1
    assert house.direct("GET", f"/containers/{id_}/json") == before


async def test_a_prune_of_everything_ends_well_and_touches_what_is_ones_own(house: House) -> None:
    mine, theirs = await house.add("one"), await house.add("two")
    for socket in mine, theirs:
        await house.docker(socket, "create", "--name", "left", "busybox")
        await house.docker(socket, "network", "create", "idle")
        await house.docker(socket, "run", "-d", "--name", "runs", "busybox", "sleep", "99")
    said = await house.docker(mine, "system", "prune", "-f")
    assert (said.code, said.stderr) == (0, "")
    assert (await house.docker(mine, "ps", "-a", "--format", "{{.Names}}")).text == "runs\n"
    names = (await house.docker(theirs, "ps", "-a", "--format", "{{.Names}}")).text
    assert sorted(names.split()) == ["left", "runs"]
    assert "idle" not in (await house.docker(mine, "network", "ls")).text
    assert "idle" in (await house.docker(theirs, "network", "ls")).text


async def test_the_same_name_is_two_tenants_own(house: House) -> None:
    sockets = [await house.add("one"), await house.add("two")]
    for socket in sockets:
        said = await house.docker(socket, "run", "-d", "--name", "web", "busybox", "sleep", "99")
        assert said.code == 0, said.stderr
    for socket in sockets:
        assert (await house.docker(socket, "ps", "--format", "{{.Names}}")).text == "web\n"


async def test_containers_find_each_other_by_their_plain_names(house: House) -> None:
    socket = await house.add("ci")
    script = "echo found > /index.html; exec httpd -f -p 80 -h /"
    await house.docker(socket, "run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    words = ("run", "--rm", "busybox", "sh", "-c",
             "until wget -qO- http://web/index.html; do sleep 0.1; done")  # fmt: skip
    assert (await house.docker(socket, *words)).text == "found\n"


async def test_events_tell_of_own_objects_from_first_to_last(house: House) -> None:
    mine, theirs = await house.add("one"), await house.add("two")
    await house.docker(theirs, "run", "--rm", "busybox", "true")
    await house.docker(mine, "run", "--rm", "--name", "ev", "busybox", "true")
    events = await house.events(mine, until="destroy")
    containers = [each for each in events if each["Type"] == "container"]
    assert {each["Actor"]["Attributes"]["name"] for each in containers} == {"ev"}
    actions = [each["Action"] for each in containers]
    assert actions[0] == "create"
    assert actions[-1] == "destroy"


async def test_200_creates_at_one_time_get_exactly_the_quota(house: House) -> None:
    socket = await house.add("ci", SHOWN + "limits = {containers = 5}\n")
    create = json.dumps({"Image": "busybox", "Cmd": ["true"]}).encode()
    request = (
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(create), create)
    )

    async def one() -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer.split(b" ", 2)[1]

    statuses = await asyncio.gather(*(one() for _ in range(200)))
    assert (statuses.count(b"201"), statuses.count(b"403")) == (5, 195)
    assert len(house.containers("ci")) == 5


async def test_all_containers_of_a_tenant_are_in_one_control_group(house: House) -> None:
    assert house.proxy.without_groups == ""
    socket = await house.add("ci", SHOWN + 'limits = {memory = "96m", memory_each = "64m"}\n')
    for _ in range(3):  # more than the sum: it is the group that holds them together
        assert (await house.docker(socket, "run", "-d", "busybox", "sleep", "99")).code == 0
    parents = {
        house.direct("GET", f"/containers/{each['Id']}/json")["HostConfig"]["CgroupParent"]
        for each in house.containers("ci")
    }
    assert parents == {f"/{house.dockerd.cgroup}/proxy/ci"}
    place = Path("/sys/fs/cgroup/memory", house.dockerd.cgroup, "proxy/ci/memory.limit_in_bytes")
    unified = Path("/sys/fs/cgroup", house.dockerd.cgroup, "proxy/ci/memory.max")
    assert int((place if place.exists() else unified).read_text()) == 96 * 1024**2


async def test_everything_of_a_tenant_is_gone_when_it_ends(house: House) -> None:
    socket = await house.add("ci")
    for words in (("network", "create", "n1"), ("volume", "create", "v1"),
                  ("run", "-d", "--network", "n1", "-v", "v1:/v", "-v", "/anonymous", "busybox",
                   "sleep", "99"), ("tag", "busybox", "mine")):  # fmt: skip
        assert (await house.docker(socket, *words)).code == 0
    networks = len(house.direct("GET", "/networks"))
    await house.proxy.end("ci")
    assert house.containers("ci") == []
    assert len(house.direct("GET", "/networks")) == networks - 2
    assert not house.direct("GET", "/volumes")["Volumes"]
    tags = [tag for image in house.direct("GET", "/images/json") for tag in image["RepoTags"] or []]
    assert not [tag for tag in tags if tag.startswith("ci.")]
    assert "busybox:latest" in tags


async def test_an_orchestrator_in_a_container_has_children_of_its_own(house: House) -> None:
    """Show 1: everything from inside, with the injected socket and an unmodified docker."""
    tenant = await house.proxy.add("inner", policy=SHOWN + 'copy_in = "always"\n', directory=True)
    given = injection(Path(tenant.directory))
    script = """
set -e
docker ps -aq | wc -l
printf shout | docker run -i --rm busybox tr a-z A-Z; echo
docker run -d --name child busybox sh -c 'echo hi; sleep 99' > /dev/null
docker exec child echo executed
echo given > /tmp/given; docker cp /tmp/given child:/tmp/given
docker exec child cat /tmp/given
docker cp child:/etc/passwd - | tar -t
docker logs child
docker ps --format '{{.Names}}'
docker logs -f child > /tmp/followed & following=$!
until grep -q hi /tmp/followed; do sleep 0.1; done
docker kill child > /dev/null
wait $following; echo followed; cat /tmp/followed
docker rm -f child
docker ps -aq | wc -l
"""
    direct = house.dockerd.socket
    words = ["run", "--rm", "--name", "parent", "--network", "none", "-u", "1234"]
    for value in given.env:
        words += ["-e", value]
    words += ["-e", "HOME=/tmp", "-v", f"{given.source}:{TARGET}:ro", CLI_IMAGE, "sh", "-c", script]
    said = await house.docker(direct, *words)
    expected = "0\nSHOUT\nexecuted\ngiven\npasswd\nhi\nchild\nfollowed\nhi\nchild\n0\n"
    assert said.text.replace(" ", "") == expected
