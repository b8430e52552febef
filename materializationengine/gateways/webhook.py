"""Notices to people, in the form that Slack's incoming webhooks take: a POST of `{"text": ...}`."""

from __future__ import annotations

import requests

from ..domain.errors import GatewayRefused, GatewayUnavailable

TIMEOUT = 10.0
"""Seconds: a notice is not worth more waiting of a worker."""


def post_text(url: str, text: str) -> None:
    """Post one line. Raises GatewayUnavailable, GatewayRefused; neither names the address, which is a secret."""
    try:
        response = requests.post(url, json={"text": text}, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise GatewayUnavailable(f"SLACK_WEBHOOK does not answer: {type(error).__name__}") from error
    if response.status_code >= 500 or response.status_code == 429:
        raise GatewayUnavailable(f"SLACK_WEBHOOK answered {response.status_code}")
    if response.status_code >= 400:
        raise GatewayRefused(f"SLACK_WEBHOOK answered {response.status_code}: {response.text[:200]}")
