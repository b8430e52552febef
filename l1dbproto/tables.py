"""What the tables hold, as data: names, kinds and nullability of every column.

One letter tells the kind: L 64-bit integer, I 32-bit integer, D double, F single precision, T moment (naive UTC,
microseconds), B bytes; an exclamation mark means NOT NULL. The columns are those of the LSST baseline schema
of 2018 with `lastNonForcedSource` added and `validityEnd` nullable (null is an open end).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

ARROW = {
    "L": pa.int64(),
    "I": pa.int32(),
    "D": pa.float64(),
    "F": pa.float32(),
    "T": pa.timestamp("us"),
    "B": pa.binary(),
}
_BANDS = "ugrizy"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the letter of its kind, and whether it may be null."""

    name: str
    kind: str
    nullable: bool

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of the column in a batch."""
        return ARROW[self.kind]


@dataclass(frozen=True)
class TableDef:
    """A table's name and columns, in table order."""

    name: str
    columns: tuple[Column, ...]

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in table order."""
        return tuple(column.name for column in self.columns)

    def arrow(self, names: Iterable[str] | None = None) -> pa.Schema:
        """The Arrow schema of `names`, or of the whole table."""
        chosen = self.names if names is None else names
        return pa.schema([(name, self.by_name[name].arrow) for name in chosen])

    def renamed(self, name: str, columns: Iterable[str] | None = None) -> TableDef:
        """The same columns, or some of them, under another table name."""
        chosen = self.names if columns is None else columns
        return TableDef(name, tuple(self.by_name[column] for column in chosen))


def _column(word: str) -> Column:
    name, kind = word.split(":")
    return Column(name, kind[0], not kind.endswith("!"))


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(_column(word) for word in text.split())


def _bands(text: str) -> str:
    """The words of `text` once per band, a band's words together."""
    return " ".join(band + word for band in _BANDS for word in text.split())


DIA_OBJECT = TableDef(
    "DiaObject",
    _columns(
        "diaObjectId:L! validityStart:T! validityEnd:T lastNonForcedSource:T! ra:D! raSigma:F! decl:D! declSigma:F! "
        "ra_decl_Cov:F! radecTai:D! pmRa:F! pmRaSigma:F! pmDecl:F! pmDeclSigma:F! parallax:F! parallaxSigma:F! "
        "pmRa_pmDecl_Cov:F! pmRa_parallax_Cov:F! pmDecl_parallax_Cov:F! pmParallaxLnL:F! pmParallaxChi2:F! "
        "pmParallaxNdata:I! "
        + _bands(
            "PSFluxMean:F PSFluxMeanErr:F PSFluxSigma:F PSFluxChi2:F PSFluxNdata:I "
            "FPFluxMean:F FPFluxMeanErr:F FPFluxSigma:F"
        )
        + f" {_bands('LcPeriodic:B')} {_bands('LcNonPeriodic:B')} "
        "nearbyObj1:L nearbyObj1Dist:F nearbyObj1LnP:F nearbyObj2:L nearbyObj2Dist:F nearbyObj2LnP:F "
        "nearbyObj3:L nearbyObj3Dist:F nearbyObj3LnP:F flags:L! htmId20:L!"
    ),
)

DIA_SOURCE = TableDef(
    "DiaSource",
    _columns(
        "diaSourceId:L! ccdVisitId:L! diaObjectId:L ssObjectId:L parentDiaSourceId:L prv_procOrder:I! "
        "ssObjectReassocTime:T midPointTai:D! ra:D! raSigma:F! decl:D! declSigma:F! ra_decl_Cov:F! x:F! xSigma:F! "
        "y:F! ySigma:F! x_y_Cov:F! apFlux:F! apFluxErr:F! snr:F! psFlux:F psFluxSigma:F psRa:D psRaSigma:F psDecl:D "
        "psDeclSigma:F psFlux_psRa_Cov:F psFlux_psDecl_Cov:F psRa_psDecl_Cov:F psLnL:F psChi2:F psNdata:I "
        "trailFlux:F trailFluxSigma:F trailRa:D trailRaSigma:F trailDecl:D trailDeclSigma:F trailLength:F "
        "trailLengthSigma:F trailAngle:F trailAngleSigma:F trailFlux_trailRa_Cov:F trailFlux_trailDecl_Cov:F "
        "trailFlux_trailLength_Cov:F trailFlux_trailAngle_Cov:F trailRa_trailDecl_Cov:F trailRa_trailLength_Cov:F "
        "trailRa_trailAngle_Cov:F trailDecl_trailLength_Cov:F trailDecl_trailAngle_Cov:F "
        "trailLength_trailAngle_Cov:F trailLnL:F trailChi2:F trailNdata:I dipMeanFlux:F dipMeanFluxSigma:F "
        "dipFluxDiff:F dipFluxDiffSigma:F dipRa:D dipRaSigma:F dipDecl:D dipDeclSigma:F dipLength:F "
        "dipLengthSigma:F dipAngle:F dipAngleSigma:F dipMeanFlux_dipFluxDiff_Cov:F dipMeanFlux_dipRa_Cov:F "
        "dipMeanFlux_dipDecl_Cov:F dipMeanFlux_dipLength_Cov:F dipMeanFlux_dipAngle_Cov:F dipFluxDiff_dipRa_Cov:F "
        "dipFluxDiff_dipDecl_Cov:F dipFluxDiff_dipLength_Cov:F dipFluxDiff_dipAngle_Cov:F dipRa_dipDecl_Cov:F "
        "dipRa_dipLength_Cov:F dipRa_dipAngle_Cov:F dipDecl_dipLength_Cov:F dipDecl_dipAngle_Cov:F "
        "dipLength_dipAngle_Cov:F dipLnL:F dipChi2:F dipNdata:I totFlux:F totFluxErr:F diffFlux:F diffFluxErr:F "
        "fpBkgd:F fpBkgdErr:F ixx:F ixxSigma:F iyy:F iyySigma:F ixy:F ixySigma:F ixx_iyy_Cov:F ixx_ixy_Cov:F "
        "iyy_ixy_Cov:F ixxPSF:F iyyPSF:F ixyPSF:F extendedness:F spuriousness:F flags:L! htmId20:L!"
    ),
)

# The seed's seven columns, and the time without which a history of some months cannot be cut.
DIA_FORCED_SOURCE = TableDef(
    "DiaForcedSource",
    _columns("diaObjectId:L! ccdVisitId:L! psFlux:F! psFluxSigma:F x:F! y:F! flags:L! midPointTai:D!"),
)

SS_OBJECT = TableDef(
    "SSObject",
    _columns(
        "ssObjectId:L! q:D qSigma:D e:D eSigma:D i:D iSigma:D lan:D lanSigma:D aop:D aopSigma:D M:D MSigma:D epoch:D "
        "epochSigma:D q_e_Cov:D q_i_Cov:D q_lan_Cov:D q_aop_Cov:D q_M_Cov:D q_epoch_Cov:D e_i_Cov:D e_lan_Cov:D "
        "e_aop_Cov:D e_M_Cov:D e_epoch_Cov:D i_lan_Cov:D i_aop_Cov:D i_M_Cov:D i_epoch_Cov:D lan_aop_Cov:D "
        "lan_M_Cov:D lan_epoch_Cov:D aop_M_Cov:D aop_epoch_Cov:D M_epoch_Cov:D arc:F orbFitLnL:F orbFitChi2:F "
        "orbFitNdata:I MOID1:F MOID2:F moidLon1:D moidLon2:D "
        + _bands("H:F HErr:F G1:F G1Err:F G2:F G2Err:F")
        + " flags:L!"
    ),
)

DIA_OBJECT_MATCH = TableDef("DiaObject_To_Object_Match", _columns("diaObjectId:L! objectId:L! dist:F! lnP:F"))

# The seed's two columns, and the id counters, without which a resumed run would have to scan for them.
VISITS = TableDef("L1DbProtoVisits", _columns("visitId:L! visitTime:T! lastObjectId:L lastSourceId:L"))

# Tiles of the visit being stored: each is one transaction, and a run that was killed does only the missing ones.
TILES = TableDef("L1DbProtoTiles", _columns("visitId:L! tile:L!"))

SHORT_OBJECT = (
    "diaObjectId",
    "lastNonForcedSource",
    "ra",
    "decl",
    "raSigma",
    "declSigma",
    "ra_decl_Cov",
    "htmId20",
)
"""Columns of `DiaObject_short`."""
FULL_OBJECT = (
    *(
        "diaObjectId",
        "validityStart",
        "validityEnd",
        "lastNonForcedSource",
        "ra",
        "decl",
        "raSigma",
        "declSigma",
    ),
    *("ra_decl_Cov", "radecTai", "pmRa", "pmRaSigma", "pmDecl", "pmDeclSigma", "pmRa_pmDecl_Cov", "parallax"),
    *("parallaxSigma", "pmRa_parallax_Cov", "pmDecl_parallax_Cov", "pmParallaxLnL", "pmParallaxChi2"),
    *("pmParallaxNdata", "flags", "htmId20"),
)
"""Fields of `DiaObject`, in the seed's order: every column that is NOT NULL, and `validityEnd`."""


def last_table(full: bool) -> TableDef:
    """`DiaObjectLast`: only the columns that are read back, and the start of the version, which finds it again.

    A narrow row is what makes the upsert of every visit cheap; `full` follows `read_full_objects`.
    """
    names = FULL_OBJECT if full else (*SHORT_OBJECT, "validityStart")
    return DIA_OBJECT.renamed("DiaObjectLast", (name for name in names if name != "validityEnd"))


METADATA_TABLE = "L1DbProtoMetadata"
"""Names and values: how the tables were made, the newest moment stored, and which optional columns hold anything."""

NIGHTLY = DIA_OBJECT.renamed("DiaObjectNightly")
