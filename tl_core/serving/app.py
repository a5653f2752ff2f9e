"""The service as an ASGI application: its routes, and what they share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import tl_core
from tl_core.errors import ImageError
from tl_core.inference.predict import Prediction
from tl_core.serving.batcher import Batcher, Outcome, Work
from tl_core.serving.body import BodyReader
from tl_core.serving.gate import Gate, error_response
from tl_core.serving.images import images_in_body
from tl_core.serving.metrics import Metrics
from tl_core.serving.model import Image, ServedModel
from tl_core.serving.open_inference import (
    HEADER_LENGTH,
    InferRequest,
    infer_answer,
    model_metadata,
)
from tl_core.serving.refusal import Refusal
from tl_core.serving.schemas import INFER_BODY, PREDICT_BODY, REFUSALS, Answer, Health
from tl_core.serving.settings import ServiceSettings

DEFAULT_TOP_K = 3
_DESCRIPTION = "Classifies images. Each image of a request is answered by itself."


def create_app(
    model: ServedModel, settings: ServiceSettings | None = None, key: str | None = None
) -> ASGIApp:
    """Return the service for a model, to run in any ASGI server.

    Args:
        model: from :func:`~tl_core.serving.model.open_model`.
        settings: the limits.
        key: the API key that clients have to send; None asks for none.
    """
    service = _Service(model, settings or ServiceSettings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batcher.stop)

    app = FastAPI(
        title=model.info.name,
        description=_DESCRIPTION,
        version=tl_core.__version__,
        lifespan=lifespan,
        redoc_url=None,
    )
    _add_routes(app, service)
    _add_open_inference(app, service)
    app.add_exception_handler(Refusal, _answer_refusal)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_wrong_parameter)
    app.add_exception_handler(Exception, _answer_failure)
    return Gate(app, service.metrics, key)


class _Service:
    """What the routes share."""

    def __init__(self, model: ServedModel, settings: ServiceSettings) -> None:
        self.model = model
        self.settings = settings
        self.batcher = Batcher(model, settings.max_queue, settings.max_megapixels)
        self.bodies = BodyReader(settings)
        self.metrics = Metrics(
            model.name, lambda: self.batcher.num_waiting, lambda: self.bodies.num_bytes
        )

    async def answer(self, request: Request, images: Sequence[Image | ImageError]) -> list[Outcome]:
        """Return the outcome of each image, in order.

        Raises:
            Refusal: too many images are waiting, or the client went away.
        """
        good = [image for image in images if not isinstance(image, ImageError)]
        computed = iter(await self._compute(request, good) if good else ())
        outcomes = [one if isinstance(one, ImageError) else next(computed) for one in images]
        unreadable = sum(isinstance(one, ImageError) for one in outcomes)
        self.metrics.count_images(len(outcomes) - unreadable, unreadable)
        _note(request, images=len(outcomes), unreadable=unreadable)
        return outcomes

    async def _compute(self, request: Request, images: Sequence[Image]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def set_done() -> None:
            if not done.done():
                done.set_result(None)

        def on_done(_: Work) -> None:
            loop.call_soon_threadsafe(set_done)

        work = Work(images, on_done)
        self.batcher.submit(work)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                raise Refusal(400, "disconnected", "The client went away.")
        finally:
            work.cancel()
            gone.cancel()
        if work.error is not None:
            raise work.error
        return [one for one in work.outcomes if one is not None]


def _add_routes(app: FastAPI, service: _Service) -> None:
    model = service.model

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("docs")

    @app.post(
        "/predict",
        summary="Classify one or many images",
        response_model=Answer,
        responses=REFUSALS,
        openapi_extra=PREDICT_BODY,
    )
    async def predict(
        request: Request,
        top_k: Annotated[
            int, Query(ge=1, le=10_000, description="Classes in each answer.")
        ] = DEFAULT_TOP_K,
    ) -> Response:
        service.batcher.check_room()
        with service.bodies.read_later() as body:
            data = await body.read(request)
            _note(request, bytes=len(data))
            kind = request.headers.get("content-type", "")
            found = await service.bodies.parse(
                data, lambda body: images_in_body(body, kind, service.settings.max_images)
            )
            del data
            outcomes = await service.answer(request, found)
        rows = [_row(number, one, top_k) for number, one in enumerate(outcomes)]
        is_answered = any(isinstance(one, Prediction) for one in outcomes)
        answer = {
            "model": model.name,
            "request_id": request.state.request_id,
            "predictions": rows,
        }
        return _json(answer, 200 if is_answered else 422)

    @app.get("/model", summary="The model and the limits of the service")
    async def describe() -> dict[str, Any]:
        return {**model.describe(), "limits": service.settings.model_dump()}

    @app.get(
        "/health",
        summary="Whether the service answers",
        response_model=Health,
        responses={503: {"model": Health, "description": "The model failed."}},
    )
    async def health() -> Response:
        is_ready = service.batcher.is_working
        values = {
            "status": "ready" if is_ready else "failing",
            "waiting_images": service.batcher.num_waiting,
        }
        return _json(values, 200 if is_ready else 503)

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_open_inference(app: FastAPI, service: _Service) -> None:
    model = service.model

    def check_name(name: str) -> None:
        if name != model.name:
            raise Refusal(404, "no_model", f"Expected the model '{model.name}'.")

    def ready() -> Response:
        is_ready = service.batcher.is_working
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    @app.get("/v2", summary="Open Inference Protocol: the server")
    async def server_metadata() -> dict[str, Any]:
        return {
            "name": "tl_core",
            "version": tl_core.__version__,
            "extensions": ["binary_tensor_data"],
        }

    @app.get("/v2/health/live", summary="Open Inference Protocol: alive")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", summary="Open Inference Protocol: ready")
    async def server_ready() -> Response:
        return ready()

    @app.get("/v2/models/{name}", summary="Open Inference Protocol: the model")
    async def metadata(name: str) -> dict[str, Any]:
        check_name(name)
        return model_metadata(model)

    @app.get("/v2/models/{name}/ready", summary="Open Inference Protocol: the model is ready")
    async def model_ready(name: str) -> Response:
        check_name(name)
        return ready()

    @app.post(
        "/v2/models/{name}/infer",
        summary="Open Inference Protocol: classify",
        openapi_extra=INFER_BODY,
    )
    async def infer(request: Request, name: str) -> Response:
        check_name(name)
        service.batcher.check_room()
        with service.bodies.read_later() as body:
            data = await body.read(request)
            _note(request, bytes=len(data))
            length = request.headers.get(HEADER_LENGTH)
            asked = await service.bodies.parse(
                data,
                lambda body: InferRequest(body, length, model, service.settings.max_images),
            )
            del data
            outcomes = await service.answer(request, asked.images)
        predictions = []
        for number, one in enumerate(outcomes):
            if isinstance(one, ImageError):
                raise Refusal(400, "unreadable", f"Image {number}: {one}")
            predictions.append(one)
        return _json(infer_answer(model, asked, predictions))


def _row(number: int, outcome: Outcome, top_k: int) -> dict[str, Any]:
    """Return the answer for one image."""
    if isinstance(outcome, ImageError):
        return {"index": number, "error": str(outcome)}
    return {
        "index": number,
        "top": [
            {"class_name": name, "probability": probability}
            for name, probability in outcome.top[:top_k]
        ],
        "none_of_these": outcome.is_none_of_these,
        "reasons": list(outcome.reasons),
    }


async def _disconnected(request: Request) -> None:
    """Wait until the client has gone; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _note(request: Request, **fields: Any) -> None:
    """Add fields to the request's line in the log."""
    request.state.fields.update(fields)


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8"), status, media_type="application/json")


async def _answer_refusal(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Refusal):
        raise error
    _note(request, code=error.code)
    return error_response(request.url.path, error, request.state.request_id)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the router refuses: no such path, or another method."""
    if not isinstance(error, HTTPException):
        raise error
    code = "no_path" if error.status_code == HTTPStatus.NOT_FOUND else "no_method"
    refusal = Refusal(error.status_code, code, f"{error.detail}. The paths are listed at /docs.")
    return error_response(request.url.path, refusal, request.state.request_id)


async def _answer_wrong_parameter(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    message = f"Parameter '{first['loc'][-1]}': {first['msg']}."
    refusal = Refusal(400, "bad_parameter", message)
    return error_response(request.url.path, refusal, request.state.request_id)


async def _answer_failure(request: Request, _: Exception) -> JSONResponse:
    failed = Refusal(500, "failed", "The service failed on this request. See its log.")
    return error_response(request.url.path, failed, request.state.request_id)
