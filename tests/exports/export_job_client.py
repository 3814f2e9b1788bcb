"""Order background exports and download their files, as a client of the API."""

import asyncio
from typing import Any

from django.test import AsyncClient
from django.utils import timezone

from exports.background import export_jobs
from exports.models import Export
from shipments.auth.subjects import Subject
from shipments.selectors import async_pool
from tests.exports.export_client import read_body, token
from tests.shipments.api.client import Api


def create_export(api: Api, **body: Any) -> dict[str, Any]:
    response = api.post("/api/exports", {"report": "shipments", "format": "csv", **body})
    assert (response.status_code, response.content) == (202, response.content)
    export: dict[str, Any] = response.json()
    assert response["Location"] == f"/api/exports/{export['id']}"
    return export


def create_export_job(by: Subject, **body: Any) -> Export:
    arguments = {"report": "shipments", "file_format": "csv", "filters": {}} | body
    return export_jobs.create(by=by, now=timezone.now(), **arguments)


def get_export(api: Api, export: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = api.get(f"/api/exports/{export['id']}").json()
    return body


def download(by: Subject, export: dict[str, Any], **headers: str) -> Any:
    """Download the file, or a range of it, in an event loop of its own."""

    async def fetch() -> Any:
        try:
            response = await AsyncClient().get(f"/api/exports/{export['id']}/file", headers=request_headers)
            return response, await read_body(response)
        finally:
            await async_pool.close_pools()

    request_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request_headers["Authorization"] = f"Bearer {token(by)}"
    return asyncio.run(fetch())
