"""The share tree: how much each account, project and user has used beside the share that it should have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sojourn.dashboard.charts import colours

_PANEL = "getComputedStyle(document.body).getPropertyValue('--panel')"


def tree(projects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """ECharts options of `Project`s of the API: rings of accounts, projects and users, by their used seconds.

    Below each name are the part that was used, and the part that its weight gives it among its like.
    """
    accounts: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for project in projects:
        accounts[project["account"]].append(project)
    weights = {name: float(of[0]["account_weight"]) for name, of in accounts.items()}
    used = {name: sum(p["used_seconds"] for p in of) for name, of in accounts.items()}
    children = [
        _ring(
            name,
            used[name],
            _part(used, name),
            _part(weights, name),
            [_project(project, of) for project in of],
            None,
        )
        for name, of in accounts.items()
    ]
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "tooltip": {":formatter": "p => p.data.tip || p.name"},
        "series": [
            {
                "type": "sunburst",
                "levels": [
                    {},
                    {"r0": "0%", "r": "24%", "label": {"rotate": 0}},
                    {"r0": "24%", "r": "66%"},
                    {"r0": "66%", "r": "98%"},
                ],
                "data": children,
                "label": {"fontSize": 12, "lineHeight": 15, "minAngle": 14, ":formatter": "p => p.data.says"},
                "itemStyle": {"borderWidth": 1.5, ":borderColor": _PANEL},
            }
        ],
    }


def _project(project: Mapping[str, Any], beside: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    used = {p["name"]: float(p["used_seconds"]) for p in beside}
    weights = {p["name"]: float(p["weight"]) for p in beside}
    of = {m["name"]: float(m["used_seconds"]) for m in project["members"]}
    shares = {m["name"]: float(m["weight"]) for m in project["members"]}
    members = [_ring(n, of[n], _part(of, n), _part(shares, n), [], project["name"]) for n in of]
    name = project["name"]
    return _ring(name, used[name], _part(used, name), _part(weights, name), members, name)


def _ring(
    name: str, seconds: float, used: float, share: float, children: list[dict[str, Any]], project: str | None
) -> dict[str, Any]:
    colour = colours.of_project(project)
    made: dict[str, Any] = {
        "name": name,
        "tip": f"{name}: used {seconds:.6g} s, {used:.0%} of its level; its share is {share:.0%}",
        "says": name if share == 1.0 else f"{name}\n{used:.0%} / {share:.0%}",
        "itemStyle": {"color": colour},
        "label": {"color": colours.text_on(colour)},
    }
    # Nothing used yet: a sliver, so that it can be seen at all.
    return made | ({"children": children} if children else {"value": max(seconds, 1e-3)})


def _part(values: Mapping[str, float], name: str) -> float:
    total = sum(values.values())
    return values[name] / total if total > 0 else 0.0
