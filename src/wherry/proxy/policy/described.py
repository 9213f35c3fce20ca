"""The rules of a container's fields in words, for the reference; a test compares the names."""

from __future__ import annotations

from collections.abc import Mapping

CONFIG_FIELDS: Mapping[str, str] = {
    "Image": "visible; replaced by its full id, and shown again as it was written",
    "Cmd, Entrypoint, Env, Shell": "copied",
    "User": "copied; without `allow_root` the number of another user",
    "Tty, OpenStdin, StdinOnce, AttachStdin, AttachStdout, AttachStderr": "copied",
    "Hostname, Domainname, ExposedPorts, NetworkDisabled, ArgsEscaped": "copied",
    "WorkingDir": "absolute, not below `/proc`, `/sys` or `/dev`; the image's, too",
    "Labels": "any but those reserved for the host; reserved ones of the image are emptied",
    "Volumes": "paths in the container",
    "Healthcheck": "times of a second or more; the image's, too",
    "StopSignal, StopTimeout": "a signal; at most `stop_timeout`",
    "MacAddress": "not taken over; the answer warns",
    "OnBuild, Runtime": "refused",
    "HostConfig": "always there, even when the request has none; see below",
    "NetworkingConfig": "own networks; aliases, addresses and own links of an endpoint are "
    "copied, MAC address, driver options, priority and link-local addresses refused",
}

HOST_FIELDS: Mapping[str, str] = {
    "Privileged": "must be false",
    "Binds": "volumes of the tenant's; a path of the host only if `host_paths` has it; modes `ro`, "
    "`rw`, `nocopy`",
    "Mounts": "types `volume`, `tmpfs` of bounded size, `image`, and `bind` as above; no options "
    "of drivers",
    "VolumesFrom": "own containers",
    "VolumeDriver": "`local`",
    "Tmpfs": "size is bounded; no `suid`, no `dev`",
    "Devices, DeviceCgroupRules": "must be empty",
    "DeviceRequests": "with `gpus` only, for `gpu`",
    "CapAdd": "what `capabilities` names; nothing by default",
    "CapDrop": "copied; `drop_capabilities` are added",
    "SecurityOpt": "`no-new-privileges`, which is forced by default",
    "MaskedPaths, ReadonlyPaths": "must be absent; an empty list would open `/proc`",
    "PidMode": "empty, or `container:` and an own one",
    "IpcMode": "`private`, `shareable`, `none`, or `container:` and an own one",
    "UTSMode, UsernsMode, Cgroup": "must be empty",
    "CgroupnsMode": "`private`, which is forced",
    "NetworkMode": "default and `bridge` are a network of the tenant's own; `none`, an own "
    "network, or `container:` and an own one",
    "CgroupParent": "not taken over; the tenant's where it has one",
    "Links": "refused; use a network",
    "PublishAllPorts": "must be false",
    "PortBindings": "within `ports`, on its address",
    "Runtime": "what `runtimes` names",
    "Sysctls": "what `sysctls` names",
    "GroupAdd": "what `groups` names",
    "OomScoreAdj": "0 to 1000",
    "Memory, MemoryReservation": "filled in, at most the quota",
    "MemorySwap": "always what `Memory` is: no swap",
    "NanoCpus, CpuQuota, CpuPeriod": "filled in, at most the quota; written as `NanoCpus`",
    "CpuShares": "at most 1024",
    "CpusetCpus": "copied",
    "PidsLimit": "filled in, at most the quota; unlimited is the default",
    "Ulimits": "a list of names; `nofile`, `nproc`, `memlock`, `msgqueue`, "
    "`sigpending` bounded; `core` is 0",
    "ShmSize": "filled in, at most `shm`",
    "StorageOpt": "`size`, at most `storage`",
    "OomKillDisable, MemorySwappiness, CpusetMems, CpuRealtimePeriod, CpuRealtimeRuntime, "
    "BlkioWeight, BlkioWeightDevice, BlkioDeviceReadBps, BlkioDeviceWriteBps, "
    "BlkioDeviceReadIOps, BlkioDeviceWriteIOps": "refused",
    "RestartPolicy": "`no`, or `on-failure` at most `restarts` times",
    "LogConfig": "`json-file`, `local`, `none`; `max-size` and `max-file` are forced",
    "Annotations": "must be empty",
    "ExtraHosts": "addresses; no `host-gateway`",
    "AutoRemove, ReadonlyRootfs, Init, ConsoleSize, Dns, DnsSearch, DnsOptions": "copied",
    "ContainerIDFile, Isolation, CpuCount, CpuPercent, IOMaximumIOps, IOMaximumBandwidth, "
    "KernelMemory, KernelMemoryTCP, KernelMemoryTcp, Capabilities, LxcConf": "must be empty",
}
