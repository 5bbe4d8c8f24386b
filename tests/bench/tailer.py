"""Watches a blue and a green pool by nginx's access log, as log watchers do: what the module is compared with.

    tailer.py LOG URL
"""

import json
import re
import sys
import time
import urllib.request

POLL_SECONDS = 0.5
LINE = re.compile(r'"\S+ /(?P<service>\S*) [^"]*" (?P<status>\d+) pool=(?P<pool>\S+) release=(?P<release>\S+) ')


def lines(path):
    with open(path) as log:
        while True:
            line = log.readline()
            if line:
                yield line
            else:
                time.sleep(POLL_SECONDS)


def tell(url, message):
    body = json.dumps(message).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).read()


def watch(path, url):
    pools = {}
    for line in lines(path):
        match = LINE.search(line)
        if not match or match["pool"] == "-":
            continue
        before = pools.setdefault(match["service"], match["pool"])
        if before != match["pool"]:
            pools[match["service"]] = match["pool"]
            text = f"Failover detected: {before} -> {match['pool']} ({match['release']})"
            tell(url, {"monitor": match["service"], "kind": "failover", "text": text})


if __name__ == "__main__":
    watch(*sys.argv[1:])
