#!/usr/bin/python3
"""What the files in exports hold, counted from the tools' documentation and not by the program that is tested.

expected.py TOOL FILE prints facts, one a line, that the test asks the database for, too.
"""
import csv
import datetime
import decimal
import json
import sys

UTC = datetime.timezone.utc


def lines(name):
    """The objects of a file of JSON lines; what is no JSON is None."""
    with open(name, encoding="utf-8") as f:
        for line in f:
            try:
                yield json.loads(line, parse_float=decimal.Decimal)
            except ValueError:
                yield None


def iso(text):
    t = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return t if t.tzinfo else t.replace(tzinfo=UTC)


def posthog(name):
    types = {"$pageview": "page_view", "$exception": "error", "$ai_trace": "agent_run", "$ai_generation": "agent_run"}
    for e in lines(name):
        if e is None or e["timestamp"] is None or e["event"] in ("$identify", "$ai_span"):
            continue
        p = e["properties"]
        kind = types.get(e["event"], "custom")
        if e["event"] == "$autocapture":
            kind = "form_submit" if p["$event_type"] == "submit" else "click"
        is_call = e["event"] == "$ai_generation"
        yield dict(key=e["uuid"], user=e["distinct_id"], type=kind, at=iso(e["timestamp"]), session=p.get("$session_id"),
                   revenue=p.get("revenue"), cost=p["$ai_total_cost_usd"] if is_call else None,
                   tokens=p["$ai_input_tokens"] + p["$ai_output_tokens"] if is_call else None)


def mixpanel(name):
    types = {"$mp_web_page_view": "page_view", "Login": "login"}
    for e in lines(name):
        p = e["properties"]
        if e["event"] == "$identify" or "distinct_id" not in p:
            continue
        seconds = p["time"] / 1000 if p["time"] > 10**11 else p["time"]
        yield dict(key=(e["event"], p["distinct_id"], p["time"], p.get("$insert_id")), user=p["distinct_id"],
                   type=types.get(e["event"], "custom"), at=datetime.datetime.fromtimestamp(seconds, UTC), revenue=p.get("amount"))


def segment(name):
    for e in lines(name):
        if e["type"] not in ("page", "screen", "track") or "/" in e["timestamp"]:
            continue
        p = e["properties"]
        kind = "page_view" if e["type"] != "track" else {"Signed In": "login", "Agent Run": "agent_run"}.get(e["event"], "custom")
        yield dict(key=e["messageId"], user=e.get("userId") or e["anonymousId"], type=kind, at=iso(e["timestamp"]),
                   revenue=p.get("revenue"), cost=p.get("cost"),
                   tokens=p["prompt_tokens"] + p["completion_tokens"] if "prompt_tokens" in p else None)


def ga4(name):
    for n, e in enumerate(lines(name)):
        user = e.get("user_id") or e["user_pseudo_id"]
        if user is None:
            continue
        session = [p["value"]["int_value"] for p in e["event_params"] if p["key"] == "ga_session_id"]
        revenue = e.get("ecommerce", {}).get("purchase_revenue")
        if e["event_name"] == "refund":
            revenue = -e["ecommerce"]["refund_value"]
        yield dict(key=n, user=user, type=e["event_name"] if e["event_name"] in ("page_view", "session_start") else "custom",
                   at=datetime.datetime.fromtimestamp(int(e["event_timestamp"]) // 10**6, UTC),
                   session=(e["user_pseudo_id"], session[0]) if session else None, revenue=revenue)


def umami(name):
    with open(name, encoding="utf-8", newline="") as f:
        for e in csv.DictReader(f):
            if e["created_at"] is None or e["event_type"] == "5":
                continue
            kind = {"1": "page_view", "3": "click"}.get(e["event_type"], "login" if e["event_name"] == "login" else "custom")
            yield dict(key=e["event_id"], user=e["distinct_id"] or e["session_id"], type=kind, at=iso(e["created_at"]), session=e["visit_id"])


def langfuse(name):
    for e in lines(name):
        user = e.get("user_id") or e.get("userId")
        is_outermost = e.get("type") == "SPAN" and e["parent_observation_id"] == ""
        if user is None or not (e.get("type") in ("GENERATION", "EMBEDDING", "TOOL", None) or is_outermost) or "value" in e:
            continue
        yield dict(key=e["id"], user=user, type="agent_run", at=iso(e.get("start_time") or e.get("startTime") or e["timestamp"]),
                   session=e.get("session_id") or e.get("sessionId"), cost=e.get("total_cost", e.get("calculatedTotalCost")),
                   tokens=(e.get("usage_details") or e.get("usageDetails") or {}).get("total"))


def total(events, what):
    return sum((decimal.Decimal(e[what]) for e in events if e.get(what) is not None), decimal.Decimal(0)).normalize()


def main(tool, name):
    events = list({e["key"]: e for e in globals()[tool](name)}.values())
    print("events", len(events))
    print("users", len({e["user"] for e in events}))
    print("sessions", len({e["session"] for e in events if e.get("session")}))
    for kind in sorted({e["type"] for e in events}):
        print(kind, sum(e["type"] == kind for e in events))
    for what in ("revenue", "cost", "tokens"):
        print(what, format(total(events, what), "f"))
    for day in sorted({e["at"].date() for e in events}):
        of_day = [e for e in events if e["at"].date() == day]
        print(day, len(of_day), len({e["user"] for e in of_day}))


main(*sys.argv[1:])
