"""Datastacks and aligned volumes as the info service tells them: those of loaded worlds, and those of a file.

The file is JSON with `aligned_volumes` and `datastacks`. A datastack of the file that bears the name of a loaded
one changes what is told about that; any other stands for itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcave.errors import NotFound
from localcave.loaded import Loaded
from localcave.store import Store

Record = dict[str, Any]

FIRST_NUMBER_OF_FILE = 1000
VOLUME_FIELDS = ("name", "display_name", "description", "image_source")
PLAIN_FIELDS: Record = {
    "segmentation_source": None,
    "skeleton_source": None,
    "analysis_database": None,
    "viewer_site": None,
    "synapse_table": None,
    "soma_table": None,
    "local_server": None,
    "description": "",
    "viewer_resolution_x": 4.0,
    "viewer_resolution_y": 4.0,
    "viewer_resolution_z": 40.0,
    "proofreading_status_table": None,
    "cell_identification_table": None,
    "proofreading_review_table": None,
}


@dataclass(frozen=True)
class Written:
    """What the file says."""

    volumes: dict[str, Record] = field(default_factory=dict)
    datastacks: dict[str, Record] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Written:
        """Read the file, or say what is wrong in it."""
        found = json.loads(path.read_text())
        volumes, datastacks = found.get("aligned_volumes", []), found.get("datastacks", [])
        for one in (*volumes, *datastacks):
            if not one.get("name"):
                raise ValueError(f"{path}: everything needs a name: {one}")
        known = {one["name"] for one in volumes}
        for one in datastacks:
            unknown = one.keys() - PLAIN_FIELDS.keys() - {"name", "aligned_volume", "image_sources"}
            if unknown:
                raise ValueError(f"{path}: datastack {one['name']} has the unknown field {min(unknown)!r}")
            if "aligned_volume" in one and one["aligned_volume"] not in known:
                raise ValueError(f"{path}: there is no aligned volume {one['aligned_volume']!r}")
        return Written({one["name"]: one for one in volumes}, {one["name"]: one for one in datastacks})


class Directory:
    """The info service's content for one base URL."""

    def __init__(self, store: Store, written: Written, base_url: str) -> None:
        self._written, self._base_url = written, base_url
        self._worlds = {loaded.datastack: loaded for loaded in store}

    def datastacks(self) -> list[str]:
        """Return the names of all datastacks that have a volume."""
        others = [name for name, one in self._written.datastacks.items() if "aligned_volume" in one]
        return list(dict.fromkeys([*self._worlds, *others]))

    def volumes(self) -> list[str]:
        """Return the names of all aligned volumes."""
        return [*(loaded.aligned_volume for loaded in self._worlds.values()), *self._written.volumes]

    def volume(self, name: str) -> Record:
        """Return an aligned volume by name."""
        for loaded in self._worlds.values():
            if loaded.aligned_volume == name:
                return _world_volume(loaded)
        if name not in self._written.volumes:
            raise NotFound(f"there is no aligned volume {name!r}")
        number = FIRST_NUMBER_OF_FILE + list(self._written.volumes).index(name)
        told = {key: self._written.volumes[name].get(key, "") for key in VOLUME_FIELDS}
        return {"id": number, **told, "display_name": told["display_name"] or name}

    def volume_by_number(self, number: int) -> Record:
        """Return an aligned volume by number."""
        for name in self.volumes():
            if (found := self.volume(name))["id"] == number:
                return found
        raise NotFound(f"there is no aligned volume {number}")

    def record(self, name: str) -> Record:
        """Return a datastack without its volume."""
        if name not in self.datastacks():
            raise NotFound(f"there is no datastack {name!r}; known are: {', '.join(self.datastacks()) or 'none'}")
        world = self._worlds.get(name)
        own = {} if world is None else _world_record(world, self._base_url)
        told = self._written.datastacks.get(name, {})
        return {**PLAIN_FIELDS, "local_server": self._base_url, **own, **_only(told, PLAIN_FIELDS)}

    def volume_of(self, name: str) -> Record:
        """Return the aligned volume of a datastack."""
        self.record(name)
        world = self._worlds.get(name)
        return self.volume(world.aligned_volume if world else self._written.datastacks[name]["aligned_volume"])

    def image_sources(self, name: str) -> list[Record]:
        """Return the images that the file gives a datastack; a world has none of its own."""
        self.record(name)
        return list(self._written.datastacks.get(name, {}).get("image_sources", []))


def _only(record: Record, fields: Record) -> Record:
    return {key: value for key, value in record.items() if key in fields}


def _world_volume(loaded: Loaded) -> Record:
    return {
        "id": loaded.number,
        "name": loaded.aligned_volume,
        "display_name": loaded.aligned_volume,
        "description": f"The volume of the world in {loaded.world.folder.name}",
        "image_source": "",
    }


def _world_record(loaded: Loaded, base_url: str) -> Record:
    x, y, z = (float(size) for size in loaded.world.about["resolution_nm"])
    annotations = loaded.world.folder / "annotations"
    return {
        "segmentation_source": f"graphene://{base_url}/segmentation/table/{loaded.table}",
        # The names under which a world's annotations are uploaded.
        "synapse_table": "synapses" if (annotations / "synapses").is_dir() else None,
        "soma_table": "nuclei" if (annotations / "nuclei.csv").is_file() else None,
        "description": f"The world in {loaded.world.folder.name}",
        "viewer_resolution_x": x,
        "viewer_resolution_y": y,
        "viewer_resolution_z": z,
    }
