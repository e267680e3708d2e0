"""Object storage with an S3 interface for tests: Swift's four servers in one process, on loopback ports.

The argument is an empty folder. Prints the ports as JSON when the servers listen. Ends with its standard input.
"""

import json
import logging
import os
import sys

import eventlet

eventlet.monkey_patch()

import eventlet.wsgi
from eventlet.hubs import trampoline
from swift.common import storage_policy, utils
from swift.common.middleware.s3api.controllers import multi_upload
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp

STORAGE = ("account", "container", "object")
FILTERS = "catch_errors gatekeeper listing_formats s3api tempauth copy slo dlo versioned_writes"
SETTINGS = {
    "tempauth": "user_test_writer = writersecret .admin\nuser_test_stranger = strangersecret\n"
}


class Cache:
    """In place of memcached, for one process."""

    def __init__(self):
        self.values = {}

    def get(self, key, *_, **__):
        return self.values.get(key)

    def set(self, key, value, *_, **__):
        self.values[key] = value

    def delete(self, key, *_, **__):
        self.values.pop(key, None)

    def incr(self, key, delta=1, *_, **__):
        self.values[key] = self.values.get(key, 0) + delta
        return self.values[key]


def write(folder, name, text):
    with open(os.path.join(folder, name), "w") as file:
        file.write(text)


def configure(folder, ports):
    os.makedirs(f"{folder}/devices/disk")
    write(folder, "swift.conf", "[swift-hash]\nswift_hash_path_suffix = test\n")
    for name in STORAGE:
        # One partition, so that a test can address the servers without computing it.
        builder = RingBuilder(part_power=0, replicas=1, min_part_hours=0)
        device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": ports[name]}
        builder.add_dev({**device, "device": "disk", "weight": 1})
        builder.rebalance()
        builder.get_ring().save(f"{folder}/{name}.ring.gz")
        write(
            folder,
            f"{name}.conf",
            f"[DEFAULT]\ndevices = {folder}/devices\nmount_check = false\n"
            "disable_fallocate = true\nfallocate_reserve = 0\n"
            f"[pipeline:main]\npipeline = server\n[app:server]\nuse = egg:swift#{name}\n",
        )
    filters = "".join(
        f"[filter:{name}]\nuse = egg:swift#{name}\n{SETTINGS.get(name, '')}" for name in FILTERS.split()
    )
    write(
        folder,
        "proxy.conf",
        f"[DEFAULT]\nswift_dir = {folder}\n"
        f"[pipeline:main]\npipeline = {FILTERS} proxy-server\n"
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        f"{filters}",
    )
    utils.set_swift_dir(folder)
    storage_policy.reload_storage_policies()


def serve(folder):
    sockets = {name: eventlet.listen(("127.0.0.1", 0)) for name in (*STORAGE, "proxy")}
    ports = {name: socket.getsockname()[1] for name, socket in sockets.items()}
    configure(folder, ports)
    # Small pages, so that few uploads and parts make several.
    multi_upload.DEFAULT_MAX_UPLOADS = 2
    multi_upload.DEFAULT_MAX_PARTS_LISTING = 2
    cache = Cache()
    for name, socket in sockets.items():
        app = loadapp(f"{folder}/{name}.conf")

        def call(environment, start_response, app=app):
            environment["swift.cache"] = cache
            return app(environment, start_response)

        quiet = {"log_output": False, "debug": False}
        eventlet.spawn(eventlet.wsgi.server, socket, call, **quiet)
    print(json.dumps(ports), flush=True)
    trampoline(sys.stdin.fileno(), read=True)


logging.raiseExceptions = False
serve(sys.argv[1])
