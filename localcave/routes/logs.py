"""The chunkedgraph's REST interface, version 1: who edited what and when."""

from __future__ import annotations

import csv
import io

from flask import Blueprint, Response, current_app, request

from localcave import changelog, wire
from localcave.changelog import ChangeLog, People
from localcave.routes.segmentation import TABLE, moment_reply
from localcave.routes.tables import Asked, asked, needs
from localcave.users import Users

routes = Blueprint("logs", __name__, url_prefix="/segmentation")


@routes.get(f"{TABLE}/operation_details")
def operation_details(table: str) -> Response:
    numbers = changelog.operation_numbers(request.args.get("operation_ids"))
    return wire.reply(_log(asked(table)).operations(numbers))


@routes.get(f"{TABLE}/root/<int:root_id>/change_log")
def root_change_log(table: str, root_id: int) -> Response:
    target = asked(table)
    found = _log(target).of_root(target.node(root_id), filtered=wire.flag("filtered"), until_ms=target.moment())
    return wire.reply(found)


@routes.get(f"{TABLE}/root/<int:root_id>/merge_log")
def merge_log(table: str, root_id: int) -> Response:
    target = asked(table)
    return wire.reply(_log(target).merges_of(target.node(root_id)))


@routes.get(f"{TABLE}/root/<int:root_id>/last_edit")
def last_edit(table: str, root_id: int) -> Response:
    target = asked(table)
    return moment_reply(_log(target).last_edit_ms(target.node(root_id)))


@routes.get(f"{TABLE}/tabular_change_log_many")
def tabular_change_log_many(table: str) -> Response:
    log, filtered = _log(asked(table)), wire.flag("filtered", True)
    roots = wire.listed_ids("root_ids").tolist()
    # JSON inside JSON: that is how the real service answers.
    return wire.reply({str(root): changelog.to_json(log.table_of(root, filtered=filtered)) for root in roots})


@routes.get(f"{TABLE}/root/<int:root_id>/tabular_change_log")
def tabular_change_log(table: str, root_id: int) -> Response:
    target = asked(table)
    found = _log(target).table_of(target.node(root_id), filtered=wire.flag("filtered", True))
    return _frame(found)


@routes.get(f"{TABLE}/tabular_change_log_recent")
@needs("admin_view")
def tabular_change_log_recent(table: str) -> Response:
    target = asked(table)
    return _frame(_log(target).recent(target.moment("timestamp", 0), target.moment("timestamp_end")))


@routes.get(f"{TABLE}/user_operations")
@needs("admin_view")
def user_operations(table: str) -> Response:
    target = asked(table)
    window = target.moment("start_time", 0), target.moment("end_time")
    return _frame(_log(target).of_user(wire.number("user_id"), *window, undone=wire.flag("include_undone")))


@routes.get(f"{TABLE}/change_log")
@needs("superadmin")
def change_log(table: str) -> Response:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["user_id", "action", "root_ids", "timestamp"])
    rows.writerows(_log(asked(table)).lines())
    return Response(out.getvalue(), mimetype="text/csv")


def _log(target: Asked) -> ChangeLog:
    users: Users = current_app.extensions["localcave.users"]
    everyone = users.everyone()
    people = People(
        {user.id: user.record["name"] for user in everyone},
        {user.id: ", ".join(map(str, user.record["affiliations"])) for user in everyone},
    )
    return ChangeLog(target.loaded.graph, target.loaded.nodes, people)


def _frame(frame: changelog.Frame) -> Response:
    return Response(changelog.to_json(frame), mimetype=wire.JSON)
