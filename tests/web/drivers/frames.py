"""Frames as JSON: every value as plain as JSON has it, and the dtypes beside them."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pandas as pd


def plain(value):
    if isinstance(value, np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, (list, dict, str)):
        return value
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def told(frame):
    rows = [[plain(value) for value in row] for row in frame.itertuples(index=False)]
    return {"columns": list(frame.columns), "dtypes": [str(kind) for kind in frame.dtypes], "rows": rows}
