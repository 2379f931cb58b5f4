"""Answers of every shape HTTP knows, to try a proxy against: see README.md."""

import asyncio
import hashlib
import json
import os

from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

router = APIRouter(tags=["wire"])

BLOCK = bytes(range(256)) * 256  # 64 KiB


@router.api_route(
    "/wire/echo", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
)
async def echo(request: Request):
    """The request as the app saw it, and which worker saw it."""
    body = await request.body()
    return {
        "method": request.method,
        "path": request.scope["raw_path"].decode("latin-1"),
        "query": request.scope["query_string"].decode("latin-1"),
        "headers": [[k.decode("latin-1"), v.decode("latin-1")] for k, v in request.headers.raw],
        "client": request.client.host if request.client else None,
        "scheme": request.url.scheme,
        "body_bytes": len(body),
        "worker": os.getpid(),
    }


@router.get("/wire/stream")
async def stream(
    chunks: int = Query(10, ge=0),
    size: int = Query(1024, ge=1, le=len(BLOCK)),
    interval_ms: int = Query(0, ge=0),
):
    """A body without a length: chunked."""

    async def body():
        for _ in range(chunks):
            yield BLOCK[:size]
            await asyncio.sleep(interval_ms / 1000)

    return StreamingResponse(body(), media_type="application/octet-stream")


@router.api_route("/wire/download", methods=["GET", "HEAD"])
async def download(size: int = Query(1048576, ge=0)):
    """A body with a length: the octets 0 to 255, over and over."""

    async def body():
        left = size
        while left > 0:
            yield BLOCK[:left]
            left -= len(BLOCK)

    headers = {"content-length": str(size)}
    return StreamingResponse(body(), media_type="application/octet-stream", headers=headers)


@router.api_route("/wire/upload", methods=["POST", "PUT"])
async def upload(request: Request, digest: bool = False):
    """Counts the body's bytes as they come, in constant memory."""
    count, sha256 = 0, hashlib.sha256()
    async for chunk in request.stream():
        count += len(chunk)
        if digest:
            sha256.update(chunk)
    return {"bytes": count, "sha256": sha256.hexdigest() if digest else None}


@router.get("/wire/events")
async def server_sent_events(count: int = Query(10, ge=0), interval_ms: int = Query(100, ge=0)):
    async def body():
        for number in range(1, count + 1):
            yield f"id: {number}\nevent: tick\ndata: {json.dumps({'number': number})}\n\n"
            await asyncio.sleep(interval_ms / 1000)

    headers = {"cache-control": "no-store"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


@router.get("/wire/slow")
async def slow(ms: int = Query(1000, ge=0, le=600000)):
    """Answers after a while; costs no CPU."""
    await asyncio.sleep(ms / 1000)
    return {"slept_ms": ms, "worker": os.getpid()}


@router.get("/wire/status/{code}")
async def status(code: int):
    return Response(status_code=code if 200 <= code <= 599 else 400)


@router.websocket("/ws/echo")
async def websocket_echo(socket: WebSocket):
    """Sends every message back as it came."""
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass
