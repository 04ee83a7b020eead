"""The part of the Kubernetes API that the pod operator uses, on loopback, in a thread of its own.

Translates requests into calls of the cluster and back; does not know podman's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import WSMsgType, web

from .admission import KUBERNETES, Refused
from .cluster import NAMESPACE, Cluster, Pod
from .translation import selected

# The channels of `v4.channel.k8s.io`: the first byte of each message.
STDIN, STDOUT, STDERR, RESULT = range(4)


class Api:
    """Serves a cluster until it is closed."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self.call(self._serve())

    def call(self, work: Awaitable, seconds: float = 120):
        """Has the loop of the API do something, and waits for what comes of it."""
        return asyncio.run_coroutine_threadsafe(_await(work), self._loop).result(seconds)

    def close(self) -> None:
        """Ends every pod, then the server."""
        self.call(self.cluster.close())
        self.call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def write_kubeconfig(self, path: Path) -> Path:
        """The file by which a client finds this API."""
        context = {"cluster": "test", "user": "test", "namespace": NAMESPACE}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": context}],
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path

    async def _serve(self) -> str:
        app = web.Application(middlewares=[_answer_refusals])
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        app.add_routes(
            [
                web.get("/version", self._version),
                web.get(f"/api/v1/namespaces/{NAMESPACE}/events", self._events),
                web.get(pods, self._list),
                web.post(pods, self._create),
                web.get(pods + "/{name}", self._read),
                web.patch(pods + "/{name}", self._patch),
                web.delete(pods + "/{name}", self._delete),
                web.get(pods + "/{name}/log", self._log),
                web.get(pods + "/{name}/exec", self._exec),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return "http://{}:{}".format(*self._runner.addresses[0])

    def _pod(self, request: web.Request) -> Pod:
        return self.cluster.pod(request.match_info["name"])

    async def _version(self, _: web.Request) -> web.Response:
        major, minor = KUBERNETES.split(".")
        version = {"major": major, "minor": minor, "gitVersion": f"v{KUBERNETES}.0+podman"}
        return web.json_response(version)

    async def _create(self, request: web.Request) -> web.Response:
        pod = await self.cluster.create(await request.json())
        return web.json_response(pod.body, status=201)

    async def _read(self, request: web.Request) -> web.Response:
        pod = await self.cluster.refresh(self._pod(request))
        return web.json_response(pod.body)

    async def _list(self, request: web.Request) -> web.Response:
        selector = request.query.get("labelSelector", "")
        found = [
            (await self.cluster.refresh(pod)).body
            for pod in self.cluster.pods()
            if selected(pod.body["metadata"]["labels"], selector)
        ]
        return self._listed("PodList", found)

    async def _events(self, request: web.Request) -> web.Response:
        selector = request.query.get("fieldSelector", "")
        _, _, name = selector.partition("involvedObject.name=")
        found = [
            event for event in self.cluster.events if name in ("", event["involvedObject"]["name"])
        ]
        return self._listed("EventList", found)

    def _listed(self, kind: str, items: list[dict]) -> web.Response:
        metadata = {"resourceVersion": self.cluster.new_version()}
        document = {"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items}
        return web.json_response(document)

    async def _patch(self, request: web.Request) -> web.Response:
        pod, change = self._pod(request), await request.json()
        for key in ("labels", "annotations"):
            new = (change.get("metadata") or {}).get(key) or {}
            pod.body["metadata"].setdefault(key, {}).update(new)
        return web.json_response(pod.body)

    async def _delete(self, request: web.Request) -> web.Response:
        options = json.loads(await request.read() or b"{}")
        grace = request.query.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
        pod = self._pod(request)
        await self.cluster.delete(pod, None if grace is None else int(grace))
        return web.json_response(pod.body)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        options = {"follow": "--follow", "timestamps": "--timestamps"}
        flags = [flag for name, flag in options.items() if _is_set(request, name)]
        container = pod.container(request.query["container"])
        process = await self.cluster.podman.start(
            "logs", *flags, container, errors=asyncio.subprocess.STDOUT
        )
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            while part := await process.stdout.read(65536):
                await response.write(part)
            await response.write_eof()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        return response

    async def _exec(self, request: web.Request) -> web.WebSocketResponse:
        pod, has_input = self._pod(request), _is_set(request, "stdin")
        process = await self.cluster.podman.start(
            "exec", *(["--interactive"] if has_input else []),
            pod.container(request.query["container"]), *request.query.getall("command"),
        )  # fmt: skip
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)

        async def send(channel: int, data: bytes) -> None:
            # The operator hangs up as soon as it has sent the kill.
            with contextlib.suppress(ConnectionError):
                await socket.send_bytes(bytes([channel]) + data)

        async def give(channel: int, stream: asyncio.StreamReader) -> None:
            while data := await stream.read(65536):
                await send(channel, data)

        async def take() -> None:
            async for message in socket:
                data = message.data
                if message.type == WSMsgType.TEXT:
                    data = data.encode()
                if has_input and data[:1] == bytes([STDIN]):
                    process.stdin.write(data[1:])
                    await process.stdin.drain()
            process.stdin.close()

        taking = asyncio.ensure_future(take())
        await asyncio.gather(give(STDOUT, process.stdout), give(STDERR, process.stderr))
        await send(RESULT, json.dumps(_result_of(await process.wait())).encode())
        # Whoever still reads would keep the socket from closing.
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await socket.close()
        return socket


async def _await(work: Awaitable):
    return await work


def _is_set(request: web.Request, name: str) -> bool:
    return request.query.get(name) in ("true", "True", "1")


def _result_of(exit_code: int) -> dict:
    if exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    cause = {"reason": "ExitCode", "message": str(exit_code)}
    return {
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "details": {"causes": [cause]},
    }  # fmt: skip


@web.middleware
async def _answer_refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        status = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(refused),
            "reason": refused.reason, "code": refused.code,
        }  # fmt: skip
        return web.json_response(status, status=refused.code)
