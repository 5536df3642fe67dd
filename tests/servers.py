"""Real S3 servers for tests: moto in this process, and Ceph's gateway where it is installed."""

import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from uuid import uuid4

KEYS = ("testkey00", "testsecret00")

CEPH_CONF = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {folder}/keyring
run_dir = {folder}
admin_socket = {folder}/$cluster-$name.asok
pid_file = {folder}/$type.$id.pid
log_file = {folder}/$type.$id.log
mon_cluster_log_file = {folder}/cluster.log
crash_dir = {folder}
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_max_pg_per_osd = 1000
ms_bind_ipv6 = false
# these two let it start in 2 s instead of 20
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
[mon]
mon_data = {folder}/mon
mon_initial_members = a
[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_memory_target = 939524096
[client.rgw.t]
rgw_data = {folder}
rgw_frontends = beast endpoint=127.0.0.1:{http}
rgw_dns_name = localhost
"""


@dataclass(frozen=True)
class Server:
    """An S3 server. admin: what comes before the arguments of radosgw-admin, if it has that."""

    endpoint: str
    admin: tuple[str, ...] = ()

    def administer(self, *arguments: str) -> None:
        """Run radosgw-admin."""
        subprocess.run([*self.admin, *arguments], check=True, capture_output=True)


@contextmanager
def moto_server() -> Iterator[Server]:
    """Run moto in a thread of this process. It accepts any keys."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Server(f"http://{host}:{port}")
    finally:
        server.stop()


def has_ceph() -> bool:
    return all(map(shutil.which, ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd")))


@contextmanager
def ceph_server(folder: Path) -> Iterator[Server]:
    """Run Ceph's gateway, in memory, with one user."""
    fsid, conf = str(uuid4()), folder / "ceph.conf"
    v2, v1, http = _free_ports(3)
    conf.write_text(CEPH_CONF.format(fsid=fsid, folder=folder, v2=v2, v1=v1, http=http))
    for name in ("mon", "osd"):
        (folder / name).mkdir()
    ring, monmap = str(folder / "keyring"), str(folder / "monmap")
    address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    osd = str(uuid4())

    def run(program: str, *arguments: str) -> None:
        environment = os.environ | {"CEPH_CONF": str(conf)}
        command = [program, *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)

    def key(name: str, *capabilities: str) -> None:
        granted = [
            each
            for pair in zip(capabilities[::2], capabilities[1::2], strict=True)
            for each in ("--cap", *pair)
        ]
        run("ceph-authtool", ring, "--gen-key", "-n", name, *granted)

    try:
        run("ceph-authtool", "-C", ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        key("client.admin", "mon", "allow *", "osd", "allow *", "mgr", "allow *")
        key("client.rgw.t", "mon", "allow rw", "osd", "allow rwx")
        key("osd.0", "mon", "allow profile osd", "osd", "allow *")
        run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, monmap)
        run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", ring)
        run("ceph-mon", "-i", "a")
        run("ceph", "osd", "new", osd)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        run("ceph-osd", "-i", "0")
        run("radosgw", "-n", "client.rgw.t")
        _wait_for(http)
        admin = ("radosgw-admin", "-c", str(conf))
        server = Server(f"http://127.0.0.1:{http}", admin)
        access, secret = KEYS
        user = ("--uid=t", "--display-name=t", f"--access-key={access}", f"--secret={secret}")
        server.administer("user", "create", *user)
        yield server
    finally:
        for pid in folder.glob("*.pid"):
            with suppress(OSError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for(port: int) -> None:
    deadline = monotonic() + 60
    while monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise TimeoutError(f"nothing listens on port {port}")
