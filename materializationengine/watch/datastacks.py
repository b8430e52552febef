"""Checks of one datastack: its record, its chunkedgraph, the engine's rights, and a voxel of its volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..domain.datastack import Datastack
from ..domain.errors import GatewayRefused, MaterializationError, NotAllowed, NotLoggedIn, UserMistake
from ..domain.health import Finding, Light, green, red, worst, yellow
from ..gateways.auth import AuthService
from ..gateways.probes import glance_at_graph
from .checks import Look


def quick(look: Look, name: str) -> list[Finding]:
    """What costs two calls: the record and the graph, with the engine's token."""
    found, stack = _record(look, name)
    findings = [found] if stack is None else [found, *graph(look, stack)]
    return [replace(each, datastack=name) for each in findings]


def thorough(look: Look, name: str) -> list[Finding]:
    """All that runs on a datastack need."""
    found, stack = _record(look, name)
    if stack is None:
        return [replace(found, datastack=name)]
    asked = list(graph(look, stack))
    findings = [found, *asked, *rights(look, stack), *_volume_of(look, stack, asked)]
    return [replace(each, datastack=name) for each in findings]


def _record(look: Look, name: str) -> tuple[Finding, Datastack | None]:
    try:
        stack = look.services.datastacks.get(name)
    except MaterializationError as error:
        asked = look.services.settings.datastacks_file or look.services.settings.info_server
        return red("info", error.message, f"see the record of {name} at {asked}"), None
    return green("info", f"volume {stack.aligned_volume}, graph {stack.pcg_table}"), stack


def graph(look: Look, stack: Datastack) -> Iterator[Finding]:
    """The graph answers, takes the engine's token, and keeps the time."""
    settings = look.services.settings
    before = look.clock()
    try:
        seen = glance_at_graph(settings.graph_server, stack.pcg_table, look.services.secrets.token(stack.name))
    except GatewayRefused as error:
        status = error.details.get("status")
        if status in (401, 403) or (isinstance(status, int) and 300 <= status < 400):
            yield red("token", f"the graph refuses the engine's token ({status})", _token_fix(look, stack))
        else:
            yield red("graph", error.message, f"see that the graph has the table {stack.pcg_table}")
        return
    except MaterializationError as error:
        yield red("graph", error.message, "start the chunkedgraph, or set PCG_SERVER_URL right")
        return
    yield green("graph", f"table {stack.pcg_table} answers")
    yield green("token", "the graph takes the engine's token")
    # The header has whole seconds, cut off.
    if seen.now is not None and not -1 <= _outside(seen.now, before, look.clock(), settings.clock_tolerance) <= 1:
        skew = seen.now - before
        yield red("clock", f"the graph's clock is {skew:+.0f} s from this machine's", "keep both by NTP")


def _outside(told: float, before: float, after: float, tolerance: float) -> float:
    """Seconds by which a clock lies outside of the span of its question, the tolerance added on both sides."""
    return max(0.0, told - after - tolerance) - max(0.0, before - tolerance - told)


def _token_fix(look: Look, stack: Datastack) -> str:
    place = look.services.secrets.token_file(stack.name)
    return f"put a token of the engine's account that may view {stack.name} into {place}"


def rights(look: Look, stack: Datastack) -> Iterator[Finding]:
    """The engine's account may view the datastack."""
    settings, token = look.services.settings, look.services.secrets.token(stack.name)
    if token is None:
        if settings.auth_disabled:
            yield green("rights", "authorization is off")
        else:
            yield yellow("rights", "the engine has no token, so nobody can say what it may do", _token_fix(look, stack))
        return
    auth = AuthService(settings.auth_server, token, retries=0, timeout=5.0)
    try:
        known = auth.require(token, "view", "datastack", stack.name)
    except (NotAllowed, NotLoggedIn) as error:
        yield red("rights", f"the engine's account: {error.message}", f"let it view {stack.name} in the auth service")
    except MaterializationError as error:
        mistake = isinstance(error, UserMistake)
        yield red("rights", error.message, f"give {stack.name} a dataset" if mistake else "start the auth service")
    else:
        yield green("rights", f"{known.name or known.id} may view {stack.name}")


def _volume_of(look: Look, stack: Datastack, asked: Sequence[Finding]) -> Iterator[Finding]:
    """The graph knows where a `graphene://` volume lies: where it is red already, the volume cannot be looked for."""
    known = worst(each for each in asked if each.check != "clock") is not Light.RED
    if known or not stack.segmentation_source.startswith("graphene://"):
        yield from volume(look, stack)
    else:
        yield yellow("volume", "not looked at, as the graph does not tell where it is", "mend the graph first")


def volume(look: Look, stack: Datastack) -> Iterator[Finding]:
    """One voxel of the volume can be read."""
    try:
        segmentation = look.services.segmentation(stack)
        # To open a volume is to read the voxel in its middle.
        segmentation.supervoxels(np.zeros((0, 3)), segmentation.resolution)
    except MaterializationError as error:
        fix = f"let the engine read {stack.segmentation_source} (GOOGLE_APPLICATION_CREDENTIALS for gs://)"
        yield red("volume", error.message, fix)
    else:
        yield green("volume", f"voxels of {' x '.join(f'{edge:g}' for edge in segmentation.resolution)} nm can be read")
