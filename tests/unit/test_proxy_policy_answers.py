"""What a tenant sees of the engine's answers: own objects, own names, nothing of the host."""

from __future__ import annotations

import json
from typing import Any

from wherry.proxy.policy import answers, names
from wherry.proxy.policy.events import event
from wherry.proxy.policy.model import Limits, Policy, TenantView

OWN, NET, FOREIGN = "1" * 64, "2" * 64, "a" * 64
BRIDGE = "9" * 64
IMAGE = "sha256:" + "3" * 64
LABELS = {"a": "b", "wherry.proxy.tenant": "ten", "wherry.proxy.image": "busybox:1"}
TENANT = TenantView(
    "ten", Policy(images=("busybox:*",), limits=Limits(memory=2**30, cpus=1.5)), BRIDGE,
    closed_paths=("/run/wherry",), containers={OWN}, networks={NET}, volumes={"ten.data"},
    images={IMAGE},
)  # fmt: skip


def test_a_ping_offers_the_pinned_version_and_the_classic_builder() -> None:
    headers = answers.ping_headers(version=41)
    assert (headers["Api-Version"], headers["Builder-Version"]) == ("1.41", "1")


def test_the_version_is_clamped_in_both_places() -> None:
    out = answers.version({"Version": "20.10", "ApiVersion": "1.99", "Os": "linux"}, newest=41)
    assert (out["ApiVersion"], out["MinAPIVersion"]) == ("1.41", "1.41")
    assert out["Components"][0]["Details"]["ApiVersion"] == "1.41"


def test_info_is_of_a_machine_as_large_as_the_quota() -> None:
    engine = {"ID": "secret", "Name": "host", "Containers": 99, "OSType": "linux",
              "RegistryConfig": {"Mirrors": ["x"]}, "DockerRootDir": "/var/lib/docker"}  # fmt: skip
    out = answers.info(engine, TENANT, states=["running", "exited"], image_count=1)
    assert (out["Containers"], out["ContainersRunning"], out["NCPU"]) == (2, 1, 2)
    assert (out["MemTotal"], out["Name"], out["OSType"]) == (2**30, "ten", "linux")
    assert "secret" not in json.dumps(out)
    assert "/var/lib/docker" not in json.dumps(out)


def test_a_list_has_only_own_containers_under_their_own_names() -> None:
    item = {"Id": OWN, "Names": ["/ten.web", "/ten.other/alias"], "Image": IMAGE, "Labels": LABELS,
            "HostConfig": {"NetworkMode": BRIDGE},
            "NetworkSettings": {"Networks": {"ten.own": {"NetworkID": BRIDGE}}},
            "Mounts": [{"Type": "volume", "Name": "ten.data", "Source": "/var/lib/x"}]}  # fmt: skip
    (out,) = answers.container_summaries([item, {"Id": FOREIGN}], TENANT)
    assert (out["Names"], out["Image"], out["Labels"]) == (["/web"], "busybox:1", {"a": "b"})
    assert out["HostConfig"]["NetworkMode"] == "bridge"
    assert list(out["NetworkSettings"]["Networks"]) == ["bridge"]
    assert (out["Mounts"][0]["Name"], out["Mounts"][0]["Source"]) == ("data", "")


def inspected() -> dict[str, Any]:
    return {
        "Id": OWN, "Name": "/ten.web", "Image": IMAGE, "LogPath": "/var/lib/docker/x.log",
        "ResolvConfPath": "/var/lib/docker/r", "State": {"Pid": 4711, "Running": True},
        "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/var/lib/docker/u"}},
        "Config": {"Image": IMAGE, "Labels": LABELS},
        "HostConfig": {"NetworkMode": NET, "CgroupParent": "/wherry/ten", "Mounts": [
            {"Type": "volume", "Source": "ten.data", "Target": "/d",
             "VolumeOptions": {"Labels": LABELS}},
            {"Type": "bind", "Source": "/run/wherry/x", "Target": "/run/dockhost"}]},
        "Mounts": [{"Type": "volume", "Name": "ten.data", "Source": "/var/lib/docker/v"},
                   {"Type": "bind", "Source": "/run/wherry/x"}],
        "NetworkSettings": {"SandboxKey": "/var/run/docker/netns/x",
                            "Networks": {"ten.net": {"NetworkID": NET}}},
    }  # fmt: skip


def test_an_inspection_is_as_if_asked_for_directly_without_the_host() -> None:
    out = answers.container(inspected(), TENANT)
    assert (out["Name"], out["Config"]["Image"]) == ("/web", "busybox:1")
    assert out["Config"]["Labels"] == {"a": "b"}
    assert out["HostConfig"]["NetworkMode"] == "net"
    assert out["HostConfig"]["Mounts"][0]["Source"] == "data"
    text = json.dumps(out)
    for secret in ("/var/", "4711", "/wherry", "ten.", "/run/dockhost"):
        assert secret not in text


def test_a_network_shows_own_containers_and_the_own_one_is_the_bridge() -> None:
    item = {"Id": BRIDGE, "Name": "ten.default", "Labels": LABELS, "Peers": ["x"],
            "Containers": {OWN: {"Name": "ten.web"}, FOREIGN: {"Name": "victim.x"}}}  # fmt: skip
    out = answers.network(item, TENANT)
    assert (out["Name"], out["Containers"]) == ("bridge", {OWN: {"Name": "web"}})
    assert "Peers" not in out


def test_a_volume_does_not_tell_where_it_is() -> None:
    item = {"Name": "ten.data", "Mountpoint": "/var/lib/docker/x", "Labels": LABELS, "Status": {}}
    assert answers.volume(item, TENANT) == {"Name": "data", "Mountpoint": "", "Labels": {"a": "b"}}


def test_an_image_has_its_own_and_public_names_only() -> None:
    own = names.scoped_image("ten", "app:1", field="t")
    item = {"Id": IMAGE, "RepoTags": [own, "victim/secret:1", "busybox:1", "<none>:<none>"],
            "RepoDigests": ["victim/secret@sha256:" + "a" * 64], "ParentId": "sha256:foreign",
            "GraphDriver": {"Name": "x", "Data": {}}, "Config": {"Labels": LABELS}}  # fmt: skip
    out = answers.image(item, TENANT)
    assert out["RepoTags"] == ["app:1", "busybox:1"]
    assert (out["RepoDigests"], out["ParentId"]) == ([], "")
    assert out["Config"]["Labels"] == {"a": "b"}
    history = answers.image_history(
        [{"Id": IMAGE, "Tags": [own]}, {"Id": "sha256:f", "Tags": ["victim/x:1"]}], TENANT,
        image_id=IMAGE,
    )  # fmt: skip
    assert history == [{"Id": IMAGE, "Tags": ["app:1"]}, {"Id": "<missing>", "Tags": None}]


def happened(kind: str, id_: str, action: str = "start", **attributes: str) -> Any:
    return event(
        {"Type": kind, "Action": action, "Actor": {"ID": id_, "Attributes": attributes},
         "id": id_, "from": IMAGE}, TENANT,
    )  # fmt: skip


def test_events_are_of_own_objects_and_in_own_words() -> None:
    out = happened("container", OWN, name="ten.web", image=IMAGE, **{"wherry.proxy.image": "b:1"})
    assert out["Actor"]["Attributes"] == {"name": "web", "image": "b:1"}
    assert out["from"] == "b:1"
    assert happened("volume", "ten.data", container=OWN)["Actor"]["ID"] == "data"
    assert happened("network", NET, name="ten.net")["Actor"]["Attributes"]["name"] == "net"
    assert happened("image", IMAGE)["Actor"]["ID"] == IMAGE


def test_events_of_others_are_dropped() -> None:
    assert happened("container", FOREIGN, name="victim.x") is None
    assert happened("container", FOREIGN, **{"wherry.proxy.tenant": "ten"}) is None
    assert happened("network", NET, container=FOREIGN) is None
    assert happened("network", FOREIGN, container=OWN) is None
    assert happened("volume", "victim.data") is None
    assert happened("image", "busybox:latest", name="busybox:latest") is None
    assert happened("daemon", OWN) is None
    assert happened("builder", "", action="prune") is None
    assert happened("container", "", action="prune") is None
    assert event({"Type": "container"}, TENANT) is None


def test_errors_tell_no_foreign_id_no_prefix_and_no_path_of_the_host() -> None:
    tag = names.scoped_image("ten", "app", field="t")
    text = (
        f'Conflict. The container name "/ten.web" is in use by container "{FOREIGN}"; {OWN[:12]}, '
        f"{tag}, /var/lib/docker/overlay2/x, /srv/d/containers/{FOREIGN}/y, stat /etc/passwd"
    )
    out = answers.message(text, TENANT)
    assert 'name "/web"' in out
    assert OWN[:12] in out
    assert "app:latest" in out
    assert "stat /etc/passwd" in out
    for secret in (FOREIGN, "ten.", "/var/lib", "/srv/d"):
        assert secret not in out


def test_progress_names_images_as_the_tenant_does() -> None:
    tag = names.scoped_image("ten", "app", field="t")
    assert answers.progress({"stream": f"Successfully tagged {tag}\n"}, TENANT) == {
        "stream": "Successfully tagged app:latest\n"
    }
