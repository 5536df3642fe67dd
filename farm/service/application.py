"""The application: routes behind the guard, and every refusal as JSON of one form."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from farm.errors import FarmError, suggestion
from farm.host.blame import reworded
from farm.service import file_routes, routes
from farm.service.desk import Desk
from farm.service.guard import Guard, Rules
from farm.service.http_metrics import HttpMetrics
from farm.service.refusals import refusal
from farm.service.wire import Fault, Refusal

__all__ = ["make_application"]

WEB: Final = Path(__file__).with_name("web")
_CODES: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported",
    429: "busy",
    503: "unavailable",
}


def make_application(desk: Desk, rules: Rules, metrics: CollectorRegistry) -> Guard:
    """Return the ASGI application of a service. metrics: what it shows, and adds to."""
    app = FastAPI(
        title="Neural render farm",
        version=version("neural-render-farm"),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    app.state.metrics = metrics
    app.include_router(routes.router)
    app.include_router(file_routes.router)
    app.mount("/", GZipMiddleware(StaticFiles(directory=WEB, html=True)), name="web")
    app.add_exception_handler(FarmError, _on_farm_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _with_refusals(described())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return Guard(app, rules, HttpMetrics(metrics).count, _page())


def _page() -> frozenset[str]:
    """Return the paths of the farm's page."""
    files = (path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file())
    return frozenset({"/", *(f"/{file}" for file in files)})


async def _on_farm_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FarmError)
    status, fault = refusal(error, request.app.state.desk.roots)
    return _answer(status, fault)


_SENTENCES: Final = {
    "missing": "it is needed",
    "extra_forbidden": "there is no such field",
    "json_invalid": "it is no JSON, or was cut off",
    "string_too_short": "it is empty",
    "too_short": "it is empty",
    "model_attributes_type": "it must be a JSON object",
}
"""What is wrong, by the type of the fault; others have a sentence of their own."""


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    """Name the first field that is wrong, and what is meant by one that there is not."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place, *names = first["loc"]
    inner = ".".join(map(str, names))
    field = inner if place == "body" and inner else f"{place}.{inner}".rstrip(".")
    message = _SENTENCES.get(first["type"], "") or " ".join(reworded(first["msg"]).split())
    if first["type"] == "extra_forbidden" and place == "body":
        message += f"; {_meant(request.scope['route'].body_field.field_info.annotation, names)}"
    return _answer(400, Fault(code="bad_request", field=field[:200], message=message[:500]))


def _meant(body: type[BaseModel], names: Sequence[Any]) -> str:
    """Return what is meant by a field that there is not: one elsewhere in the body, or one beside it.

    names: of the field, after those around it.
    """
    fields = dict(_fields(body))
    around, name = ".".join(names[:-1]), str(names[-1])[:200]
    elsewhere = [f"{inside}.{name}".lstrip(".") for inside in fields if name in fields[inside]]
    return f"did you mean {elsewhere[0]}?" if elsewhere else suggestion(name, fields[around])


def _fields(model: type[BaseModel], inside: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of each object in a body, empty for the whole, and the names of its fields."""
    yield inside, tuple(model.model_fields)
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{inside}.{name}".lstrip("."))


_DETAILS: Final = {
    404: "there is nothing at this path; GET /api/openapi.json lists the routes",
    405: "this path does not take that method; GET /api/openapi.json lists the routes",
}
"""What the framework says in two words, by status."""


async def _on_http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code: Any = _CODES.get(error.status_code, "bad_request")
    answer = _answer(
        error.status_code,
        Fault(code=code, message=_DETAILS.get(error.status_code, str(error.detail))),
    )
    answer.headers.update(error.headers or {})
    return answer


async def _on_bug(_request: Request, _error: Exception) -> JSONResponse:
    """Say that the farm is at fault. The framework raises the error again, so that it is logged."""
    message = "the farm failed at this request by a fault of its own; please report it"
    return _answer(500, Fault(code="internal", message=message))


def _answer(status: int, fault: Fault) -> JSONResponse:
    return JSONResponse(Refusal(error=fault).model_dump(), status)


def _with_refusals(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description of the routes with the refusals that they really give."""
    refused = {"$ref": "#/components/schemas/Refusal"}
    schemas = schema["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    template = "#/components/schemas/{model}"
    for model in (Fault, Refusal):
        schemas[model.__name__] = model.model_json_schema(ref_template=template)
        schemas[model.__name__].pop("$defs", None)
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            answers.pop("422", None)
            for status in _refusals(path, method, operation.get("parameters", ())):
                answers.setdefault(
                    str(status),
                    {
                        "description": _CODES[status].replace("_", " "),
                        "content": {"application/json": {"schema": refused}},
                    },
                )
    security = {"farm": {"type": "http", "scheme": "bearer"}}
    schema["components"]["securitySchemes"] = security
    schema["security"] = [{"farm": []}, {}]
    return schema


def _refusals(path: str, method: str, parameters: Sequence[object]) -> list[int]:
    if path == "/healthz":
        return []
    found = [401, 403, 503]
    if parameters or method != "get":
        found += [400]
    if "{" in path or parameters:
        found += [404]
    if method != "get":
        found += [409, 413, 415, 429]
    return found
