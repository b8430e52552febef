"""Call what the test lists, one call after another, and print what each gave, or how it failed."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import warnings

import numpy as np
from caveclient import CAVEclient
from caveclient.infoservice import InfoServiceClient
from caveclient.materializationengine import MaterializationClient
from frames import told
from requests import HTTPError

warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
server, stack = asked["server"], asked["datastack"]
InfoServiceClient.local_server = lambda self, **_: server


class Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


heard = Heard()
logging.getLogger().addHandler(heard)


def read(value):
    """A value of the test: moments and arrays come as what JSON has not."""
    if isinstance(value, dict) and "moment" in value:
        moment = datetime.datetime.fromisoformat(value["moment"])
        return moment.replace(tzinfo=None) if value.get("naive") else moment
    if isinstance(value, dict) and "array" in value:
        return np.array(value["array"])
    if isinstance(value, dict):
        return {name: read(each) for name, each in value.items()}
    return value


def clients():
    new = CAVEclient(stack, server_address=server, auth_token="0" * 32)
    old = MaterializationClient(server, stack, auth_client=new.auth, synapse_table="synapses", api_version=2)
    old._fc = new
    for each in (new.materialize, old):
        if "version" in asked:
            each.version = asked["version"]
    return {3: new.materialize, 2: old}


def called(materialize, call):
    arguments = {name: read(value) for name, value in call["arguments"].items()}
    if "of" not in call:
        return getattr(materialize, call["method"])(*call.get("given", []), **arguments)
    manager, name, filters = call["of"]
    table = getattr(materialize, manager)[name](**{key: read(value) for key, value in filters.items()})
    return getattr(table, call["method"])(*map(read, call.get("given", [])), **arguments)


def answer(materialize, call):
    heard.texts = []
    try:
        found = called(materialize, call)
    except (HTTPError, ValueError, TypeError, KeyError, AttributeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if not hasattr(found, "dtypes"):
        return {"value": found}
    attrs = json.loads(json.dumps(found.attrs, default=str))
    return {**told(found), "attrs": attrs, "warnings": heard.texts}


known = clients()
print(json.dumps([answer(known[call.get("api", 3)], call) for call in asked["calls"]]))
